// Package poison finds uses of buffers after they were returned to their pool: built with the tag
// "poison", every such buffer is overwritten, so that code which still reads it reads garbage and a
// test of what arrives fails. Without the tag nothing happens.
package poison

// Byte is what buffers are overwritten with: no text, no part of any protocol's syntax.
const Byte = 0xdb
