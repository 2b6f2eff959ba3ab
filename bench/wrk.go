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

// wrk is the closed-loop load generator for HTTP/1.1.
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
	requests            int
	bytes               int // received, where it is known
	seconds             float64
	p50, p99, p999, max float64 // microseconds
	errors              int     // responses other than 2xx and 3xx, failed connections, timeouts
}

// request is what a load generator sends.
type request struct {
	url     string
	post    int    // bytes of the body of a POST; 0: GET
	close   bool   // every request has a connection of its own
	accept  string // Accept-Encoding; empty: no such field
	message string // path of the body of a gRPC call; empty: it is none
}

// run keeps connections busy for the duration. wrk ends with ctx.
func (w wrk) run(ctx context.Context, r request, connections int, duration time.Duration) (load, error) {
	// wrk knows whole seconds only.
	seconds := max(1, int(duration.Round(time.Second)/time.Second))
	threads := min(2, connections)
	arguments := []string{
		"-t", strconv.Itoa(threads), "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%ds", seconds),
		"--timeout", "10s", "-s", w.script,
	}
	if r.close {
		arguments = append(arguments, "-H", "Connection: close")
	}
	if r.accept != "" {
		arguments = append(arguments, "-H", "Accept-Encoding: "+r.accept)
	}
	command := exec.CommandContext(ctx, w.program, append(arguments, r.url)...)
	if r.post > 0 {
		command.Env = append(os.Environ(), "METHOD=POST", "BODY_BYTES="+strconv.Itoa(r.post))
	}
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
		Bytes    int     `json:"bytes"`
		Duration float64 `json:"duration_us"`
		P50      float64 `json:"p50_us"`
		P99      float64 `json:"p99_us"`
		P999     float64 `json:"p999_us"`
		Max      float64 `json:"max_us"`
		Errors   struct{ Connect, Read, Write, Status, Timeout int }
	}
	if err := json.Unmarshal(output[start:], &report); err != nil {
		return load{}, fmt.Errorf("cannot parse wrk's report: %w", err)
	}
	if report.Requests == 0 || report.Duration <= 0 {
		return load{}, errors.New("wrk got no response at all")
	}
	e := report.Errors
	return load{
		requests: report.Requests,
		bytes:    report.Bytes,
		seconds:  report.Duration / 1e6,
		p50:      report.P50,
		p99:      report.P99,
		p999:     report.P999,
		max:      report.Max,
		errors:   e.Connect + e.Read + e.Write + e.Status + e.Timeout,
	}, nil
}

func firstLine(output []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(output), []byte("\n"))
	return string(line)
}
