# Fastness: build, run, check, measure. `make help` lists the targets.

# The runtime wipes stacks, registers and freed memory of runtime/secret.Do only when built so. The race
# detector works together with it in the Go this needs (1.26), so every target builds with it, tests too.
export GOEXPERIMENT := runtimesecret
# One static binary. Only the race detector needs C; its target turns this on for itself.
export CGO_ENABLED := 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# -buildvcs=false: the version says it already, and git refuses a clone that another user owns.
BUILD := go build -trimpath -buildvcs=false -ldflags '-X fastness/internal/cli.version=$(VERSION)'
# Checks see the files of these build tags too; plain tests do not run them.
TAGS := bench,soak,memcheck
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
# `test` is a sequence: what is cheap and likely to fail comes first, even under `make -j`.
.NOTPARALLEL:
.PHONY: help build run test install lint vuln race postgres shipped fallback memcheck bench soak fuzz fmt clean

help: ## list the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

build: ## bin/fastness, static, with its version
	$(BUILD) -o bin/fastness ./cmd/fastness

run: build ## build, then start bin/fastness dev; ARGS='--data DIR' and so on
	exec bin/fastness dev $(ARGS)

test: install lint vuln build race shipped postgres fallback ## everything that continuous integration runs

install:
	scripts/install

lint: ## formatting, vet, tidy modules, staticcheck
	@unformatted=$$(gofmt -s -l .); [ -z "$$unformatted" ] || { echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; }
	go vet -tags=$(TAGS) ./...
	go mod tidy -diff
	go tool staticcheck -tags=$(TAGS) ./...

vuln: ## known vulnerabilities in what the code calls, where the database can be reached
	scripts/vulncheck

# The program as it ships, and what is done to processes and targets at every point of a rotation: the race detector
# would see only the test, and take twice the time. These run in `shipped`.
POINTS := Anywhere$$|^TestTwoWorkersAtOnce$$
# SQLite is C made into Go: to watch its pointers and accesses took most of the time. Of its packages only lib is left
# out of the detector: the others bring copies of the standard library's generic code, which the program then uses.
RACE := CGO_ENABLED=1 go test -race '-gcflags=modernc.org/...=-d=checkptr=0' '-gcflags=modernc.org/sqlite/lib=-race=false -d=checkptr=0'
# What takes longest begins first.
LONG := ./internal/store/postgres ./internal/rotation ./internal/vault ./internal/cli

race: install
	packages=$$(go list $(LONG) ./...) && $(RACE) -timeout 20m -skip '$(POINTS)' $$(echo "$$packages" | grep -v '/cmd/fastness$$')

# What asks internal/teststore where to keep things, once more; `race` has run it on the embedded store. Of
# rotation what opens a deployment: the rest is about targets. TestEmbedded… is about the embedded store itself.
ON_POSTGRES := go run ./internal/testservers/onpostgres go test -timeout 10m -skip '^TestEmbedded'

postgres: install ## fronts, client, command line and rotation once more, on a PostgreSQL of their own
	$(ON_POSTGRES) ./client ./fastnesstest ./internal/api ./internal/awsapi ./internal/cli ./internal/notify ./internal/server
	$(ON_POSTGRES) -run '^Test(Worker|Retires|Rotations|Generated|Refusals|Lease|LostLease)' ./internal/rotation

# Most of this waits for other processes. Memory and ciphers run once more as the binary has them: the race detector
# moves stacks and allocations.
shipped: install
	go test -timeout 20m -parallel 4 ./cmd/fastness & program=$$!; \
	go test -timeout 20m -parallel 4 -run '$(POINTS)' ./internal/rotation; points=$$?; \
	wait $$program && exit $$points
	go test -timeout 5m ./internal/secretbuf ./internal/envelope

# Who imports the library with a plain Go gets the code without the experiment; it must build and hold too.
fallback:
	GOEXPERIMENT= go vet ./internal/secretbuf
	GOEXPERIMENT= go test -timeout 5m ./internal/secretbuf

memcheck: install ## what a thief of memory would find after use, in full; plain tests try it in small; needs root
	go test -tags=memcheck -run '^Test(Memcheck|MemoryKnowsLeaks|MemoryOfNaiveServer|Scanner)' -v -count=1 -timeout 1h ./cmd/fastness

bench: build ## speed and size, printed as ratios of one run
	go test -tags=bench -run '^TestBench' -v -count=1 -timeout 2h ./cmd/fastness

soak: build ## the long forms of the crash and load tests
	go test -tags=soak -run '^TestSoak' -v -count=1 -timeout 8h ./cmd/fastness ./internal/vault ./internal/rotation

fuzz: ## every fuzz target for FUZZTIME (10s)
	scripts/fuzz $(FUZZTIME)

fmt: ## format the Go code
	gofmt -s -w .

clean: ## remove what was built
	rm -rf bin
