// Package chaos runs lb between clients that check every byte and backends that fail in many ways. Each failure
// that a client sees must be allowed by the documentation: make chaos, or go test -tags e2e ./e2e/chaos -chaos.time 1h -chaos.seed 7.
package chaos
