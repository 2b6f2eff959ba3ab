//go:build !linux

package progress

import (
	"os"
	"time"
)

// SendFile is not done on this system: handled is always false.
func (c *Conn) SendFile(f *os.File, off, n int64, idle time.Duration) (sent int64, handled bool, err error) {
	return 0, false, nil
}
