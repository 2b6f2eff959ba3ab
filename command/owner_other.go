//go:build !unix

package command

func foreign(string) bool { return false }
