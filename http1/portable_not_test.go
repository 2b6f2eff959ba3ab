//go:build !portable && linux

package http1

const portable = false
