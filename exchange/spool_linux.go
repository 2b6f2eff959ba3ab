package exchange

import (
	"os"

	"golang.org/x/sys/unix"
)

// openUnlinked returns a new file in dir that never has a name.
func openUnlinked(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil { // a file system without O_TMPFILE, perhaps
		return createUnlinked(dir)
	}
	return f, nil
}
