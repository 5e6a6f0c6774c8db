# Everything a contributor runs. `make demo` shows the main job, `make test` runs
# every test; both work from a clean clone.

SHELL       := bash
BIN         := bin/diskport
GO          ?= go
TESTFLAGS   ?=
PACKAGES    ?= ./...
BENCHFLAGS  ?=

.PHONY: build man demo test torture load schedules simulate race lint fuzz fuzz-smoke bench profile bench-formats cluster cluster-demo cluster-torture cluster-e2e cluster-share fresh clean

build:
	@GO='$(GO)' scripts/build $(BIN)

# The manual pages: man -l bin/man/diskport.1
man:
	@GO='$(GO)' scripts/man bin/man

# The main job, end to end, on a disk image made for it. Leaves nothing behind.
demo: build
	./$(BIN) demo

# Installs what the tests need where it is missing, then runs all of them: the
# decoders' at full speed, then everything but their volume under the race detector.
test:
	scripts/test-setup
	TESTFLAGS="$(TESTFLAGS)" scripts/with-postgres scripts/test

# Kills the service, at its steps and at any time, and cuts its power, more often than
# the tests do: make torture KILLS=5000 SEED=7
KILLS       ?= 1000
CUTS        ?= 1000
FILLS       ?= 1000
SEED        ?= 0
torture:
	scripts/test-setup
	$(GO) test ./e2e/torture -v -count=1 -timeout 12h -kills $(KILLS) -cuts $(CUTS) -fills $(FILLS) -seed $(SEED) -budget 0 -keep .cache/torture

# Many imports at once, beside clients that read and write, and what the service takes for
# them: make load IMPORTS=2000 CLIENTS=128. It takes some ten minutes, most of which it
# waits for the memory to return.
IMPORTS     ?= 500
CLIENTS     ?= 64
load:
	scripts/test-setup
	$(GO) test ./e2e -run '^TestLoad$$' -v -count=1 -timeout 2h -imports $(IMPORTS) -clients $(CLIENTS) -passes 3 -settle

# Random schedules of everything that changes the store, more than the tests run:
# make schedules SCHEDULES=100000 FROM=10001
SCHEDULES   ?= 10000
FROM        ?= 1
schedules:
	scripts/test-setup
	set -o pipefail; $(GO) test ./internal/metadb -run TestSchedules -v -count=1 -timeout 12h -schedules $(SCHEDULES) -schedule-from $(FROM) | grep -v -e '^ *---' -e '^=== '

# Whole nodes over one database and one store, in virtual time, while they are killed, frozen
# and cut off; more schedules than the tests run: make simulate SCHEDULES=100000 FROM=10001
simulate:
	SCHEDULES=$(SCHEDULES) FROM=$(FROM) scripts/simulate

# The tests alone, for a machine that is set up: make race PACKAGES=./internal/...
race:
	CGO_ENABLED=1 scripts/with-postgres $(GO) test $$(scripts/race-flags) -timeout 40m $(TESTFLAGS) $(PACKAGES)

lint:
	scripts/lint

# A few seconds of every fuzz target.
fuzz-smoke:
	scripts/fuzz-smoke

# Long runs of the decoders' targets: make fuzz FUZZTIME=1h ONLY=vhdx. A crasher
# is written to the package's testdata/fuzz: commit it with its mending.
FUZZTIME    ?= 10m
ONLY        ?= diskimage
fuzz:
	FUZZTIME=$(FUZZTIME) ONLY=$(ONLY) scripts/fuzz-smoke

# Every path of the program beside what people use instead, with its goal:
# make bench BENCHFLAGS="-only vmdk,raw -n 3"; BENCH_DATA names a ready data set.
# A whole run is appended to the history. docs/performance.md
PEERS       := borg=borgbackup lbzip2=lbzip2 xz=xz-utils zstd=zstd bzip2=bzip2
bench: build
	scripts/test-setup $(PEERS)
	$(GO) run ./scripts/bench -history docs/performance.history.jsonl $(BENCHFLAGS)

# What one case of it does, in profiles of CPU and allocations: make profile CASE=raw
CASE        ?= vmdk
profile:
	scripts/test-setup $(PEERS)
	CGO_ENABLED=0 $(GO) build -tags profile -o bin/diskport-profile ./cmd/diskport
	rm -rf .cache/profile
	$(GO) run ./scripts/bench -bin bin/diskport-profile -profile .cache/profile -n 1 -only $(CASE)
	$(GO) tool pprof -top -nodecount 25 bin/diskport-profile .cache/profile/*.cpu
	@echo 'More: go tool pprof -http : bin/diskport-profile .cache/profile/COMMAND-PID.cpu, or .allocs'

# Every format decoded to nothing, beside qemu-img: make bench-formats BENCHFLAGS="-only qcow2"
bench-formats:
	scripts/test-setup
	$(GO) run ./scripts/bench-formats $(BENCHFLAGS)

# Three nodes, a PostgreSQL and an S3 on this machine, behind one address; until Ctrl-C.
cluster: build
	scripts/test-setup
	scripts/with-postgres $(GO) run ./scripts/cluster

# The same, to see that nothing happens when one of them is killed in the middle of an import.
cluster-demo: build
	scripts/test-setup
	scripts/with-postgres $(GO) run ./scripts/cluster -demo

# What the tests do to nodes that share a PostgreSQL and an S3, more often: HISTORIES of calls
# under ten faults each, KILLS of nodes in the middle of an import, of which it says how long
# others took to go on, and ten times as many at the steps of PostgreSQL and of the bucket:
# make cluster-torture KILLS=50 SEED=7
HISTORIES   ?= 20
cluster-torture: KILLS = 50
cluster-torture:
	scripts/test-setup
	scripts/with-postgres $(GO) test ./e2e/cluster -v -count=1 -timeout 12h -parallel 1 -rounds 10 -histories $(HISTORIES) -kills $(KILLS) -takeover 15s -seed $(SEED) -keep $(CURDIR)/.cache/cluster
	scripts/with-postgres $(GO) test ./e2e/torture -v -count=1 -timeout 12h -run OnNodes -node-kills $$(($(KILLS) * 10)) -seed $(SEED) -budget 0

# The tests of the program, with its rows in a PostgreSQL and its blocks in a bucket. Those
# that make no sense there are named in the end, with the reason.
cluster-e2e:
	scripts/test-setup
	scripts/with-postgres $(GO) test ./e2e -v -count=1 -timeout 2h -on cluster

# How evenly two nodes share an import, and what they do in a second of their CPUs: on a
# machine that has nothing else to do.
cluster-share:
	scripts/test-setup
	scripts/with-postgres $(GO) test ./e2e/cluster -v -count=1 -timeout 1h -run TestTwoNodesShareAnImport -share-ranges 64 -share-blocks 8 -share-passes 5 -share-fair

# Proves `make demo` and `make test` in a minimal Debian with git, make and Go.
fresh:
	scripts/fresh

clean:
	rm -rf bin .cache
