package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine describes the machine, for the interpretation of the figures.
type machine struct {
	Time      time.Time         `json:"time"`
	Processor string            `json:"processor"`
	Cores     int               `json:"cores"`
	MemoryMiB int64             `json:"memory_mib"`
	Kernel    string            `json:"kernel"`
	Load      string            `json:"load_average"` // over 1, 5 and 15 minutes, before the first measurement
	Go        string            `json:"go"`           // that built the harness, and lb if no binary was named
	Versions  map[string]string `json:"versions"`     // of the balancers, as they say it themselves
}

// describeMachine leaves fields empty that this system does not report.
func describeMachine(ctx context.Context, subjects []subject) machine {
	m := machine{
		Time:     time.Now().UTC().Truncate(time.Second),
		Cores:    runtime.NumCPU(),
		Kernel:   "Linux " + readLine("/proc/sys/kernel/osrelease"),
		Go:       runtime.Version(),
		Versions: make(map[string]string),
	}
	if load := strings.Fields(readLine("/proc/loadavg")); len(load) >= 3 {
		m.Load = strings.Join(load[:3], " ")
	}
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Processor = processorName(string(content))
	}
	if content, err := os.ReadFile("/proc/meminfo"); err == nil {
		total, _ := parseKilobytes(content, "MemTotal:")
		m.MemoryMiB = total / mib
	}
	for _, s := range subjects {
		if s.version == nil {
			continue
		}
		output, err := exec.CommandContext(ctx, s.program, s.version...).CombinedOutput()
		if err != nil {
			m.Versions[s.name] = "unknown"
			continue
		}
		m.Versions[s.name] = firstLine(output)
	}
	return m
}

func processorName(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func readLine(path string) string {
	content, _ := os.ReadFile(path) // A file that is missing reads as empty.
	return firstLine(content)
}
