# make without a target lists the targets.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 30s
BENCH ?= .
CHAOSTIME ?= 1h

.DEFAULT_GOAL := help
.PHONY: help demo build test lint fuzz bench sim microbench e2e chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## three clocks, the balancer and the dashboard in one process
	go run ./cmd/lb demo

build: ## bin/lb and bin/clock, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/lb ./cmd/clock

test: ## everything: lint, unit tests with the race detector, short fuzzing, end-to-end tests
	@scripts/test.sh

lint: ## gofmt, go vet and staticcheck
	@scripts/lint.sh

fuzz: ## each fuzz target for FUZZTIME (30s)
	@scripts/fuzz.sh $(FUZZTIME)

bench: ## lb beside nginx, HAProxy and Caddy in one run; BENCHFLAGS as in bench/README.md
	go run ./bench $(BENCHFLAGS)

sim: ## the balancing algorithms on made-up fleets, in made-up time
	go run ./bench/sim -chart docs/balancing.svg

microbench: ## Go benchmarks; BENCH=regexp picks some
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

e2e: ## end-to-end tests alone
	go test -tags e2e -count=1 ./e2e/...

chaos: ## faults of every kind for CHAOSTIME (1h), every failure a client sees explained
	LB_CHAOS=$(CHAOSTIME) go test -tags e2e -count=1 -timeout 0 -v ./e2e/chaos

clean: ## remove what was built
	rm -rf bin .cache
