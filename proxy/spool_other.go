//go:build !linux

package proxy

import "os"

func openUnlinked(dir string) (*os.File, error) { return createUnlinked(dir) }
