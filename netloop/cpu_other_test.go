//go:build !unix

package netloop

func cpuTime() int64 { return 0 }
