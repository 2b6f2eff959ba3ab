//go:build !linux

package staticcache

import (
	"os"
	"time"
)

// identity changes when a name on disk becomes another file or the file is written, as far as size and modification time show it.
type identity struct {
	size     int64
	modified int64 // ns
	changed  time.Time
}

func identify(info os.FileInfo) identity {
	return identity{size: info.Size(), modified: info.ModTime().UnixNano(), changed: info.ModTime()}
}
