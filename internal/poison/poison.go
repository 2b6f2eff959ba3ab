// Package poison finds uses of buffers after they were given back to their pool: built with the tag
// "poison", every such buffer is overwritten, so that who still reads it reads nonsense and a
// test of what arrives fails. Without the tag nothing happens.
package poison

// Byte is what buffers are overwritten with: no text, no part of any protocol's syntax.
const Byte = 0xdb
