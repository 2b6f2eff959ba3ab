//go:build !linux

package exchange

import "os"

func openUnlinked(dir string) (*os.File, error) { return createUnlinked(dir) }
