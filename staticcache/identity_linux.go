package staticcache

import (
	"os"
	"syscall"
	"time"
)

// identity changes when a name on disk becomes another file or the file is written.
type identity struct {
	device, inode uint64
	size          int64
	modified      int64     // ns
	changed       time.Time // of the inode; unlike the modification time it cannot be set back
}

func identify(info os.FileInfo) identity {
	id := identity{size: info.Size(), modified: info.ModTime().UnixNano(), changed: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.device, id.inode = uint64(st.Dev), st.Ino
		id.changed = time.Unix(st.Ctim.Unix())
	}
	return id
}
