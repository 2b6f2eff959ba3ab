//go:build !linux

package staticcache

import (
	"os"
	"time"
)

// identity tells two states of a name on disk apart as well as size and modification time can.
type identity struct {
	size     int64
	modified int64 // ns
	changed  time.Time
}

func identify(info os.FileInfo) identity {
	return identity{size: info.Size(), modified: info.ModTime().UnixNano(), changed: info.ModTime()}
}
