package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 1 1 0 -1 4194560 100 200 0 0 12 3 40 5 20 0 1 0 100 1000 10"
	tests := []struct {
		name, line string
		want       processStat
		fails      bool
	}{
		{"plain", "42 (lb)" + rest, processStat{42, 7, 150 * time.Millisecond, 450 * time.Millisecond}, false},
		{"blanks in the name", "42 (nginx: worker)" + rest, processStat{42, 7, 150 * time.Millisecond, 450 * time.Millisecond}, false},
		{"parentheses in the name", "42 (a) R 1 (b)" + rest, processStat{42, 7, 150 * time.Millisecond, 450 * time.Millisecond}, false},
		{"no name", "42 lb" + rest, processStat{}, true},
		{"cut off", "42 (lb) S 7 1 1", processStat{}, true},
		{"no number", "x (lb)" + rest, processStat{}, true},
		{"empty", "", processStat{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseStat([]byte(test.line))
			if (err != nil) != test.fails || got != test.want && !test.fails {
				t.Errorf("got %+v and %v, want %+v, error %v", got, err, test.want, test.fails)
			}
		})
	}
}

func TestParseKilobytes(t *testing.T) {
	const content = "Name:\tlb\nVmRSS:\t    1234 kB\nRssAnon:\t  9 kB\nThreads:\t5\n"
	if got, err := parseKilobytes([]byte(content), "VmRSS:"); err != nil || got != 1234*1024 {
		t.Errorf("got %d and %v, want %d", got, err, 1234*1024)
	}
	for _, key := range []string{"Rss:", "Threads:"} {
		if _, err := parseKilobytes([]byte(content), key); err == nil {
			t.Errorf("%s: no error, though there is no such line in kB", key)
		}
	}
}

func TestParseMachineCPU(t *testing.T) {
	// Idle (4) and iowait (5) are not busy; guest time (9, 10) is within user and nice already.
	got, err := parseMachineCPU([]byte("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9 9 9 9 9 9 9 9\n"))
	if want := 63 * tick; err != nil || got != want {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h"} {
		if _, err := parseMachineCPU([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestTreeCPUCountsChildrenDeadAndAlive(t *testing.T) {
	const burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"
	tests := []struct{ name, script string }{
		{"a child that lives", `sh -c 'while :; do :; done' & echo $! >$CHILD; wait`},
		{"a child that has ended", `sh -c '` + burn + `;` + burn + `'; sleep 300 & echo $! >$CHILD; wait`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			p, _ := shell(t, f, test.script)
			eventually(t, "the child's time shows", func() bool {
				cpu, err := treeCPU(p.pid)
				if err != nil {
					t.Fatal(err)
				}
				return cpu >= 5*tick
			})
		})
	}
}

// The clock is finer than the ticks of /proc/PID/stat, and agrees with them within a few ticks.
func TestCPUOfThisProcess(t *testing.T) {
	tree, err := processTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	before := tree[0].cpu()
	if before < tree[0].own || before > tree[0].own+tree[0].reaped+time.Second {
		t.Errorf("the clock says %v, the ticks %v", before, tree[0].own)
	}
	eventually(t, "the clock advances by less than a tick", func() bool {
		previous := before
		before = tree[0].cpu()
		return before > previous && before-previous < tick
	})
}

func TestTreeOfProcesses(t *testing.T) {
	f := newFleet(t)
	p, child := shell(t, f, `sleep 300 & echo $! >$CHILD; wait`)
	tree, err := processTree(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) != 2 || tree[0].pid != p.pid || tree[1].pid != child {
		t.Errorf("tree %+v, want %d and its child %d", tree, p.pid, child)
	}
	whole, err := treeRSS(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	part, err := processRSS(child)
	if err != nil {
		t.Fatal(err)
	}
	if part <= 0 || whole <= part {
		t.Errorf("the tree has %d bytes, its child alone %d", whole, part)
	}
	f.stop(p)
	if _, err := treeCPU(p.pid); err == nil {
		t.Error("no error for a process that has ended")
	}
	if _, err := treeRSS(p.pid); err == nil {
		t.Error("no error for a process that has ended")
	}
}

func TestOtherCores(t *testing.T) {
	second := time.Second
	before := usage{at: time.Now()}
	after := usage{at: before.at.Add(2 * second), subject: second, run: 2 * second, machine: 3 * second}
	if got := after.since(before).otherCores(); got != 0.5 {
		t.Errorf("got %v cores, want 0.5", got)
	}
	// The machine's counter is coarser than the processes': it may be a little below what they used.
	after.machine = second
	if got := after.since(before).otherCores(); got != 0 {
		t.Errorf("got %v cores, want 0", got)
	}
}

func TestReadUsageOfThisProcess(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.machine <= 0 || u.run < u.subject {
		t.Errorf("implausible: %+v", u)
	}
}
