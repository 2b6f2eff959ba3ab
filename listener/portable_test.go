//go:build portable

package listener

const portable = true
