package telemetry

import (
	"fmt"
	"os"
	"syscall"
)

// openLog opens a log for appending, so that an old and a new process can write to it at the same time. It fails for
// a named pipe without a reader instead of waiting for one. The file's mode is 0640 at most, since logs hold
// addresses of people.
func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("cannot open log file %q: %w", path, err)
	}
	return f, nil
}
