package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

//go:embed wrk/report.lua
var wrkScript []byte

// wrk is the closed-loop load generator.
type wrk struct {
	program string
	script  string
}

func findWrk(dir string) (wrk, error) {
	program, err := findProgram("wrk")
	if err != nil {
		return wrk{}, fmt.Errorf("cannot do without wrk: %w", err)
	}
	script := filepath.Join(dir, "report.lua")
	if err := os.WriteFile(script, wrkScript, 0o644); err != nil {
		return wrk{}, fmt.Errorf("cannot write wrk's script: %w", err)
	}
	return wrk{program, script}, nil
}

// load is what a load generator saw.
type load struct {
	requests      int
	seconds       float64
	p50, p99, max float64 // microseconds
	errors        int     // answers other than 2xx and 3xx, failed connections, timeouts
}

// run keeps connections busy for the duration. wrk ends with ctx.
func (w wrk) run(ctx context.Context, url string, connections int, duration time.Duration) (load, error) {
	// wrk knows whole seconds only.
	seconds := max(1, int(duration.Round(time.Second)/time.Second))
	threads := min(2, connections)
	command := exec.CommandContext(ctx, w.program,
		"-t", strconv.Itoa(threads), "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%ds", seconds),
		"--timeout", "10s", "-s", w.script, url)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	output, err := command.Output()
	if ctx.Err() != nil {
		return load{}, ctx.Err()
	}
	if err != nil {
		return load{}, fmt.Errorf("wrk failed: %w: %s", err, firstLine(output))
	}
	return parseWrk(output)
}

// parseWrk reads the line of JSON that wrk/report.lua prints after wrk's own text.
func parseWrk(output []byte) (load, error) {
	start := bytes.LastIndex(output, []byte("\n{"))
	if start < 0 {
		return load{}, errors.New("cannot find the report in wrk's output")
	}
	var report struct {
		Requests int     `json:"requests"`
		Duration float64 `json:"duration_us"`
		P50      float64 `json:"p50_us"`
		P99      float64 `json:"p99_us"`
		Max      float64 `json:"max_us"`
		Errors   struct{ Connect, Read, Write, Status, Timeout int }
	}
	if err := json.Unmarshal(output[start:], &report); err != nil {
		return load{}, fmt.Errorf("cannot parse wrk's report: %w", err)
	}
	if report.Requests == 0 || report.Duration <= 0 {
		return load{}, errors.New("wrk had no answer at all")
	}
	e := report.Errors
	return load{
		requests: report.Requests,
		seconds:  report.Duration / 1e6,
		p50:      report.P50,
		p99:      report.P99,
		max:      report.Max,
		errors:   e.Connect + e.Read + e.Write + e.Status + e.Timeout,
	}, nil
}

func firstLine(output []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(output), []byte("\n"))
	return string(line)
}
