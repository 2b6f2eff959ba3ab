// Package chaos runs lb between clients that check every byte and backends that fail in every way
// that it knows, and has each failure that a client sees explained by what lb promises: make chaos,
// or go test -tags e2e ./e2e/chaos -chaos.time 1h -chaos.seed 7.
package chaos
