# The verbs of this repository. Each only calls go and the two scripts in tools/; CI calls `make test` and nothing else.

BUILD    := build
BINARY   := $(BUILD)/secure-dns-proxy
SDPCTL   := $(BUILD)/sdpctl
DNSPROXY := $(BUILD)/peers/dnsproxy
COREDNS  := $(BUILD)/peers/coredns
LINT     := go tool -modfile=tools/lint/go.mod

# FUZZTIME is how long each fuzz target runs in `make fuzz`, FUZZ_SMOKE how often in `make test`: that shows that it works. What long runs have found
# is in testdata/fuzz, and run by every go test.
FUZZTIME   ?= 60s
FUZZ_SMOKE ?= 5000x
# E2E_SECONDS is how long each dnsperf run of the end-to-end tests lasts, in whole seconds.
E2E_SECONDS ?= 3
E2E_PARALLEL ?= 4
BENCHTIME   ?= 1s

# ALONE are the packages that need no race detector: they compute, and start nothing. A goroutine or a lock in one of them fails the build.
ALONE := ring/slots tools/dnsload/pace tools/dnsload/pending tools/dnsload/query transport/balance transport/concurrency worker/admission worker/cookie \
	worker/local worker/policy/acl worker/route worker/synth

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

.PHONY: help build build-race run test bench micro fuzz lint clean packages peers unit race fuzz-smoke bench-smoke e2e

help:
	@echo 'make build   the proxy, in $(BINARY), and sdpctl, its command line, beside it'
	@echo 'make run     builds it and runs the embedded default: a proxy on 127.0.0.1:5300 before an upstream of its own'
	@echo 'make test    all that CI runs: packages, lint, unit tests, -race, fuzz smoke, benchmarks once, end to end'
	@echo 'make e2e     the end-to-end tests alone; E2E_SECONDS=30 for the long dnsperf runs, RUN=Regexp for some'
	@echo 'make bench   measures this proxy against dnsdist and others, see bench/README.md; BENCH=-quick for a look'
	@echo 'make micro   the Go micro-benchmarks, BENCHTIME=$(BENCHTIME) each'
	@echo 'make fuzz    every fuzz target for FUZZTIME=$(FUZZTIME)'
	@echo 'make lint    gofumpt, go vet, staticcheck'
	@echo 'make clean   removes $(BUILD)/'

# Without cgo: a static program, and the runtime itself can change user and capabilities on every thread.
build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BINARY) ./appliance/cmd/secure-dns-proxy
	CGO_ENABLED=0 go build -trimpath -o $(SDPCTL) ./tools/sdpctl

# With the race detector in it, for the end-to-end tests.
build-race:
	go build -race -o $(BINARY)-race ./appliance/cmd/secure-dns-proxy

run: build
	$(BINARY)

# Packages are fetched while the peers compile. The benchmarks run once in the run of the unit tests, which has linked them already.
test:
	$(MAKE) -j 2 packages peers
	$(MAKE) lint
	$(MAKE) unit UNIT='-bench . -benchtime 1x'
	$(MAKE) race
	$(MAKE) fuzz-smoke
	$(MAKE) e2e

packages:
	tools/install-test-packages.sh

# Real DoQ and DoH servers that were not written here; tools/peers and bench/peers pin their versions in modules of their own.
peers:
	go build -C tools/peers -o ../../$(DNSPROXY) github.com/AdguardTeam/dnsproxy
	go build -C bench/peers -o ../../$(COREDNS) ./coredns

lint:
	@unformatted=$$($(LINT) gofumpt -l .) && { [ -z "$$unformatted" ] || \
		{ echo 'not formatted by gofumpt:'; echo "$$unformatted"; exit 1; }; }
	go vet ./... && cd bench && go vet ./...
	$(LINT) staticcheck ./... && cd bench && go tool -modfile=../tools/lint/go.mod staticcheck ./...

# The tests of allocations run here; the race detector would change them.
# deps_test.go asks `go list`, which the test cache does not see: -count 1.
unit:
	go test -count 1 .
	go test -timeout 8m $(UNIT) $$(go list ./... | grep -v -e /appliance/e2e$$ -e ^secure-dns-proxy$$)
	go test -C bench -timeout 5m ./...

# The ring's engines too: what the kernel writes is beyond the detector, but not what goroutines do around it. Not those packages in which, tests
# included, there is no goroutine but one.
race:
	@! grep -nE '^\s*go |"sync(/atomic)?"|t\.Parallel\(|RunParallel|synctest' $(foreach package,$(ALONE),$(package)/*.go)
	go test -race -timeout 8m $$(go list ./... | grep -v -e /appliance/e2e$$ -e ^secure-dns-proxy$$ \
		$(foreach package,$(ALONE),-e ^secure-dns-proxy/$(package)$$))

fuzz-smoke:
	tools/fuzz.sh $(FUZZ_SMOKE)

fuzz:
	tools/fuzz.sh $(FUZZTIME)

bench-smoke:
	go test -run '^$$' -bench . -benchtime 1x -timeout 5m $$(tools/packages-with.sh Benchmark)

micro:
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem $$(tools/packages-with.sh Benchmark)

# The harness is a module of its own and builds what it compares by itself.
bench:
	go build -C bench -o ../$(BUILD)/bench/bench ./cmd/bench
	$(BUILD)/bench/bench $(BENCH)

# Those tests that measure run alone, then those that mostly wait, E2E_PARALLEL at a time.
e2e: packages peers build build-race
	E2E_SECONDS=$(E2E_SECONDS) go test -count 1 -timeout 30m -parallel $(E2E_PARALLEL) $(if $(RUN),-v -run '$(RUN)') ./appliance/e2e

clean:
	rm -rf $(BUILD)
