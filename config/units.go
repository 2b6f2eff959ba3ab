package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads "1500ms", "2s", "1h30m", and 0 without a unit.
func parseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, errors.New("it is empty")
	}
	d, err := time.ParseDuration(s)
	if err == nil {
		return d, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("%q has no unit", s)
	}
	return 0, fmt.Errorf("%q", s)
}

// suggestDuration returns the duration that was probably meant.
func suggestDuration(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > 1e6 {
		return "2s"
	}
	switch s[len(digits):] {
	case "", "sec", "secs", "second", "seconds":
		return digits + "s"
	case "min", "mins", "minute", "minutes":
		return digits + "m"
	case "hour", "hours", "hr":
		return digits + "h"
	case "d", "day", "days":
		return strconv.Itoa(24*n) + "h"
	case "msec", "millis", "milliseconds":
		return digits + "ms"
	}
	return "2s"
}

// The units of sizes; the binary ones are suggested.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3},
	{"B", 1}, {"", 1},
}

// parseSize reads "16KiB", "8MiB", "1.5GiB", "500KB", or a plain number of bytes.
func parseSize(s string) (int64, error) {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		digits = strings.TrimSpace(digits)
		if strings.Trim(digits, "0123456789.") != "" {
			break // ParseFloat also accepts "inf", "1e9", "0x10", "-1"
		}
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			break
		}
		n *= float64(unit.bytes)
		if n >= math.MaxInt64 {
			return 0, fmt.Errorf("%q is too large", s)
		}
		return int64(n), nil
	}
	return 0, fmt.Errorf("%q", s)
}

// suggestSize returns the size that was probably meant, or "".
func suggestSize(s string) string {
	s = strings.ReplaceAll(s, " ", "")
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return ""
	}
	switch unit := strings.ToLower(s[len(digits):]); unit {
	case "":
		return digits
	case "k", "kb", "ki", "kib", "m", "mb", "mi", "mib", "g", "gb", "gi", "gib", "t", "tb", "ti", "tib":
		return digits + strings.ToUpper(unit[:1]) + "iB"
	case "megs", "megabytes", "meg":
		return digits + "MiB"
	}
	return ""
}

// formatSize is the inverse of parseSize, with the largest unit that divides.
func formatSize(n int64) string {
	if n == 0 {
		return "0"
	}
	for _, unit := range sizeUnits[:4] {
		if n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseStatusSet reads "200", "200-399" and lists "200,204,300-399".
func parseStatusSet(s string) (StatusSet, error) {
	var set StatusSet
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, ok1 := parseStatus(strings.TrimSpace(from))
		b, ok2 := parseStatus(strings.TrimSpace(to))
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("%q", part)
		}
		if a > b {
			return nil, fmt.Errorf("%q is in descending order", part)
		}
		set = append(set, StatusRange{From: a, To: b})
	}
	return set, nil
}

func parseStatus(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && len(s) == 3 && n >= 100 && n <= 599
}

// parseRate reads "100/s", "60/m" and "1000/h" to requests a second.
func parseRate(s string) (float64, bool) {
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(count, 10, 31)
	if !ok || err != nil || n == 0 {
		return 0, false
	}
	switch unit {
	case "s":
		return float64(n), true
	case "m":
		return float64(n) / 60, true
	case "h":
		return float64(n) / 3600, true
	}
	return 0, false
}
