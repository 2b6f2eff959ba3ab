package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel counts CPU time in /proc in ticks of USER_HZ, which is 100 on every Linux that Go runs on.
const tick = time.Second / 100

// processStat is what we read of /proc/PID/stat (proc_pid_stat(5)).
type processStat struct {
	pid, parent int
	own         time.Duration // of all its threads, those that have ended too, in whole ticks
	reaped      time.Duration // of its children that ended and were waited for, in whole ticks
}

// parseStat reads one line of /proc/PID/stat. The name in parentheses may itself hold blanks and
// parentheses, so fields are counted from the last one.
func parseStat(line []byte) (processStat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return processStat{}, fmt.Errorf("cannot parse process status %q", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:open])))
	if err != nil {
		return processStat{}, fmt.Errorf("cannot parse process status %q: %w", line, err)
	}
	fields := strings.Fields(string(line[end+1:])) // fields[0] is field 3 of the manual, the state
	if len(fields) < 15 {
		return processStat{}, fmt.Errorf("cannot parse process status %q: too short", line)
	}
	stat := processStat{pid: pid}
	if stat.parent, err = strconv.Atoi(fields[1]); err != nil {
		return processStat{}, fmt.Errorf("cannot parse process status %q: %w", line, err)
	}
	for i, field := range fields[11:15] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return processStat{}, fmt.Errorf("cannot parse process status %q: %w", line, err)
		}
		if i < 2 {
			stat.own += time.Duration(ticks) * tick
		} else {
			stat.reaped += time.Duration(ticks) * tick
		}
	}
	return stat, nil
}

// processTree returns the process and all its descendants.
func processTree(root int) ([]processStat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]processStat)
	var tree []processStat
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // It ended between the listing and the reading.
		}
		stat, err := parseStat(line)
		if err != nil {
			return nil, err
		}
		if stat.pid == root {
			tree = append(tree, stat)
		}
		children[stat.parent] = append(children[stat.parent], stat)
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("process %d has ended", root)
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree, nil
}

// treeCPU is the user and system time that a process and its descendants have used so far.
func treeCPU(root int) (time.Duration, error) {
	tree, err := processTree(root)
	var total time.Duration
	for _, stat := range tree {
		total += stat.cpu()
	}
	return total, err
}

// cpu is in nanoseconds as far as the kernel lets us read the process's clock. /proc/PID/stat counts whole ticks, and
// /proc/PID/task/TID/schedstat leaves out threads that have ended.
func (s processStat) cpu() time.Duration {
	var clock unix.Timespec
	if err := unix.ClockGettime(processClock(s.pid), &clock); err != nil {
		return s.own + s.reaped
	}
	return time.Duration(clock.Nano()) + s.reaped
}

// processClock is the identifier of the clock of the CPU time of all threads of a process, made as
// clock_getcpuclockid(3) makes it: the complement of the process's number above three bits, 2 for time that was scheduled.
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

// treeRSS is the resident memory in bytes of a process and its descendants. A page that several of them
// share counts once in each, as in any sum of RSS; growth, which is what we report, is hardly ever shared.
func treeRSS(root int) (int64, error) {
	tree, err := processTree(root)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, stat := range tree {
		rss, err := processRSS(stat.pid)
		if errors.Is(err, os.ErrNotExist) && stat.pid != root {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("cannot read the memory of process %d: %w", stat.pid, err)
		}
		total += rss
	}
	return total, nil
}

// processRSS prefers smaps_rollup, which counts the pages as they are now; the counter in status lags behind
// by up to 64 pages for each thread.
func processRSS(pid int) (int64, error) {
	if content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
		return parseKilobytes(content, "Rss:")
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseKilobytes(content, "VmRSS:")
}

// parseKilobytes finds the line "KEY   123 kB" and returns bytes.
func parseKilobytes(content []byte, key string) (int64, error) {
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == key && fields[2] == "kB" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("no line %q", key)
}

// machineCPU is the time that all cores together have been busy since boot, from the first line of /proc/stat.
func machineCPU() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseMachineCPU(content)
}

func parseMachineCPU(content []byte) (time.Duration, error) {
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("cannot parse %q of /proc/stat", line)
	}
	var busy time.Duration
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal; guests are within user
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cannot parse %q of /proc/stat: %w", line, err)
		}
		if i != 3 && i != 4 {
			busy += time.Duration(ticks) * tick
		}
	}
	return busy, nil
}
