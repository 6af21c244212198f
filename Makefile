GO ?= go
FUZZTIME ?= 5m
SOAKTIME ?= 3m
SEEDS ?= 1000
SEED ?= 1

# Tools that are no dependency of this module.
TOOL = $(GO) tool -modfile=$(CURDIR)/internal/tools/go.mod
GOLANGCI_LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT = $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# What compares OpenAPI documents and Go APIs. Go keeps its exit codes.
CONTRACT = $(GO) -C internal/tools tool contract

# What a caller names goes through the environment: neither make nor a shell
# reads it as code.
override BASE := $(value BASE)
override FROM := $(value FROM)
override VERSION := $(value VERSION)
export BASE FROM VERSION GO

# The race detector needs a C compiler.
RACE ?= $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

# The modules of this repository, each with a go.mod of its own.
MODULES = . bench examples examples/deploy internal/interop internal/man internal/tools store/redisstore store/redisstore/internal/fleet

# Among them what takes minutes to compile the first time; test-examples has it.
SLOW = examples/deploy

# Where everything has to compile, and where store/redisstore is tried: one of
# each sort. On plan9 miniredis, which its tests use, does not build. What is
# only compiled need not be optimized, which is faster.
PLATFORMS = linux/386 linux/arm linux/arm64 linux/s390x linux/riscv64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 \
	freebsd/amd64 solaris/amd64 illumos/amd64 aix/ppc64 plan9/amd64 js/wasm wasip1/wasm
REDIS_PLATFORMS = linux/386 darwin/arm64 windows/amd64 solaris/amd64 plan9/amd64 js/wasm

# What a person writes.
GOFILES = $(shell git ls-files --cached --others --exclude-standard '*.go' | grep -v '\.gen\.go$$')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Under the race detector, a process takes a second to end unless it is told not to.
export GORACE ?= atexit_sleep_ms=0

# Without what only a debugger reads, which takes a quarter of the linker's time.
TESTFLAGS = -vet=off -ldflags=-w -timeout 30m

# Tests, compilers and linkers end before it pays to collect all their garbage.
test test-raced test-plain test-contract: export GOGC ?= 400

# What make test runs without the race detector, which make test-contract has: what
# has no goroutines of its own, and what starts hundreds of programs, whose parts are
# tested with it where they are. So are the longest tables of the root and the
# scripts of the command line: what they go through, others do as well, and with it.
PLAIN_TESTS = ^Test(ClocksApart|Consumer|DocumentsNameWhatIsThere|Faults|FleetWaits|LostAnswersAreBounded|README|Scripts)$$
PLAIN = ./api ./internal/simulate ./lineoauthtest/conformance
PLAIN_MODULES = bench examples internal/interop internal/man internal/tools store/redisstore/internal/fleet
RACED_MODULES = $(filter-out . $(PLAIN_MODULES) $(SLOW),$(MODULES))

.PHONY: test
test: fmt vet check ## everything that must pass: format, vet, regeneration, tests, with the race detector where goroutines are
	@[ -n "$(RACE)" ] || echo "the tests run without the race detector, which needs a C compiler"
	@$(MAKE) --no-print-directory -j 2 test-raced test-plain

# Tests that run make do not take part in the -j of the one above.
.PHONY: test-raced test-plain
test-raced:
	@export MAKEFLAGS=; packages=$$($(GO) list ./... | grep -vE '/(api|internal/simulate|lineoauthtest/conformance)$$'); set -ex; \
	$(GO) test $(TESTFLAGS) $(RACE) -skip '$(PLAIN_TESTS)' $$packages; \
	for module in $(RACED_MODULES); do $(GO) -C $$module test $(TESTFLAGS) $(RACE) ./...; done
test-plain:
	@export MAKEFLAGS=; set -ex; $(GO) test $(TESTFLAGS) $(PLAIN); \
	$(GO) test $(TESTFLAGS) -run '$(PLAIN_TESTS)' . ./internal/cli; \
	for module in $(PLAIN_MODULES); do $(GO) -C $$module test $(TESTFLAGS) ./...; done

.PHONY: test-contract
test-contract: ## what takes longest: a corpus of changes judged, more variants of the OpenAPI document, a new operation with all tests, its update with all tests, its proposal, a release, more seeds, the race detector where make test has none
	$(GO) -C internal/tools test -vet=off -count 1 -run '^TestCorpus$$' ./contract -all
	$(GO) test -v -vet=off -timeout 0 -run '^Test(Variants|NewOperation|Documents|APIDiff|Proposal|Release)' ./api -all
	$(GO) test $(TESTFLAGS) -run '^TestSimulate$$' ./internal/simulate -seeds 200
	$(GO) test $(TESTFLAGS) $(RACE) -run '$(PLAIN_TESTS)' -skip '^Test(Consumer|README)$$' . ./internal/cli
	$(GO) test $(TESTFLAGS) $(RACE) ./lineoauthtest/conformance
	@set -ex; for module in $(filter-out internal/tools,$(PLAIN_MODULES)); do $(GO) -C $$module test $(TESTFLAGS) $(RACE) ./...; done

.PHONY: test-node
test-node: ## LINE's SDK for JavaScript against the emulator (Node 20 or newer)
	@if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		echo "test-node: skipped, there is no Node 20 here"; exit 0; fi; \
	set -ex; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	$(GO) build -o "$$bin/lineoauth" ./cmd/lineoauth; \
	cd internal/interop/node; \
	npm ci --no-audit --no-fund --loglevel=error; \
	LINEOAUTH="$$bin/lineoauth" node --test

.PHONY: test-examples
test-examples: ## the deployments, and the examples in TypeScript (Node 20 or newer) and Python, against the emulator
	@set -e; for module in $(SLOW); do (set -x; $(GO) -C $$module test ./...); done
	@set -e; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; export LINEOAUTH="$$bin/lineoauth"; \
	(set -x; $(GO) build -o "$$LINEOAUTH" ./cmd/lineoauth); \
	if python3 -c '' 2>/dev/null; then (set -x; cd examples/python && python3 -B -m unittest test_bot.py); \
	else echo "test-examples: without Python, which is not here"; fi; \
	if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		(set -x; cd examples/typescript && npm ci --no-audit --no-fund --loglevel=error && npm test); \
	else echo "test-examples: without TypeScript, there is no Node 20 here"; fi

.PHONY: test-publish
test-publish: ## publish the modules to a folder, then get, build, install and test them from there
	$(GO) -C internal/tools test -run '^TestPublish$$' -count 1 -timeout 30m -v -publish .

.PHONY: bench
bench: ## measure against peers, and what a channel and the emulator cost (some 8 minutes)
	$(GO) -C bench run .
	$(GO) test -run '^$$' -bench PoolMemory -benchtime 1x .
	$(GO) test -run '^$$' -bench Verify -cpu 1 ./lineoauthtest

.PHONY: fmt
fmt: ## fail if gofmt would change a file
	@files="$(GOFILES)"; [ -n "$$files" ] || { echo "git lists no Go files; this needs a git checkout"; exit 1; }; \
	unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$files) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## go vet, and go.mod files that are tidy
	@set -ex; for module in . $(RACED_MODULES); do $(GO) -C $$module vet $(RACE) ./...; done; \
	for module in $(PLAIN_MODULES); do $(GO) -C $$module vet ./...; done; \
	for module in $(MODULES); do $(GO) -C $$module mod tidy -diff; done

.PHONY: platforms
platforms: export CGO_ENABLED = 0
platforms: unoptimized = -gcflags='all=-N -l'
platforms: ## vet for other systems, and run a little as WebAssembly if there is Node (long the first time)
	@set -e; for platform in $(PLATFORMS); do echo "$$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) vet $(unoptimized) ./...; done
	@set -e; for platform in $(REDIS_PLATFORMS); do echo "$$platform store/redisstore"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) -C store/redisstore build $(unoptimized) ./...; done
	@if ! command -v node >/dev/null; then echo "js/wasm: not run, there is no Node here"; exit 0; fi; set -x; \
	GOOS=js GOARCH=wasm $(GO) test $(unoptimized) -exec "$$($(GO) env GOROOT)/lib/wasm/go_js_wasm_exec" -run "^Test(SignUnchecked|SignBySigner|ParseRefuses|NoLocks)$$" \
		./internal/assertion ./store/filestore

.PHONY: lint
lint: ## golangci-lint and, for the workflows, actionlint (the first time takes minutes to compile them)
	@set -e; for module in $(MODULES); do (set -x; cd $$module && $(GOLANGCI_LINT) run ./...); done
	$(ACTIONLINT)
	@if grep -n 'uses:' .github/workflows/*.y*ml | grep -vE '@[0-9a-f]{40} # v[0-9.]+$$'; then \
		echo "an action above is not pinned by its commit, with its version behind"; exit 1; fi
	@for workflow in .github/workflows/*.y*ml; do \
		if ! tr '\n' ' ' <$$workflow | grep -q ' permissions:   contents: read  '; then \
			echo "$$workflow has other permissions at its top than contents: read"; exit 1; fi; done
	@if grep -n ': write' .github/workflows/*.y*ml | grep -vE '/(changes|openapi|release)\.yml:.*(contents|pull-requests): write|/release\.yml:.*(attestations|id-token|packages): write|/codeql\.yml:.*security-events: write'; then \
		echo "a job above may write; only those that comment, propose, release and run CodeQL do"; exit 1; fi

.PHONY: vuln
vuln: ## govulncheck, which asks vuln.go.dev
	@set -e; for module in $(MODULES); do (set -x; $(TOOL) govulncheck -C $$module -test ./...); done

.PHONY: generate
generate: ## compile the OpenAPI document into Go
	$(GO) generate ./...

.PHONY: check
check: ## fail if the generated files are not what the OpenAPI document generates
	@internal/tools/check

.PHONY: spec-diff
spec-diff: ## whom a change of the OpenAPI document since BASE, a git revision or file, breaks: the wire, Go or nobody
	@$(CONTRACT) spec-diff "$$BASE"

.PHONY: spec-comment
spec-comment: ## put verdict/verdict.md, what spec-diff printed, into the pull request PULL_REQUEST (needs gh)
	@internal/tools/spec-comment

.PHONY: spec-update
spec-update: ## take a newer OpenAPI document FROM a file or URL: regenerate, test, and say what is left to do
	@$(CONTRACT) spec-update "$$FROM"

.PHONY: spec-proposal
spec-proposal: ## spec-update in a clone; leaves a patch in the folder proposal, if a caller could notice
	@$(CONTRACT) spec-proposal "$$FROM"

.PHONY: spec-source
spec-source: ## fail if LINE's document, at the URL of api/SOURCE or FROM another, is not the one that was compared last
	@$(CONTRACT) spec-source "$$FROM"

.PHONY: spec-pull-request
spec-pull-request: ## open or renew a pull request with the folder proposal (needs gh)
	@internal/tools/spec-pull-request

.PHONY: api-diff
api-diff: ## what changed for Go programs since BASE, a git revision, and the version that it asks for
	@$(CONTRACT) api-diff "$$BASE"

.PHONY: release-prepare
release-prepare: ## have the modules here require each other at VERSION, which is released next
	@internal/tools/release-prepare "$$VERSION"

.PHONY: release-notes
release-notes: ## what CHANGELOG.md says of VERSION; fails if it is not ready to be released
	@internal/tools/release-notes "$$VERSION"

.PHONY: release
release: ## publish the tag VERSION: its notes, and what is in dist (needs gh)
	@internal/tools/release "$$VERSION"

.PHONY: man
man: ## write the manual pages, one a command, into dist/man
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(GO) -C internal/man run . $(CURDIR)/dist/man

.PHONY: start
start: ## measure how long the command line takes to start, against an empty Go program
	$(GO) -C bench run . start

.PHONY: release-image
release-image: ## push the image in dist to ghcr.io as VERSION (needs REGISTRY_USER and REGISTRY_PASSWORD)
	@internal/tools/release-image "$$VERSION"

.PHONY: release-snapshot
release-snapshot: ## make a release of the last commit in dist: archives, packages, an image, bills of materials
	@internal/tools/release-snapshot dist

.PHONY: release-twice
release-twice: ## fail if a release does not come out the same twice (some 10 minutes)
	@internal/tools/release-twice

.PHONY: test-release
test-release: ## unpack and run what release-snapshot made in dist, as far as this machine can
	$(GO) -C internal/tools test -vet=off -count 1 ./assets -dist $(CURDIR)/dist

.PHONY: demo
demo: ## show the whole life of a token against an emulator
	$(GO) run ./cmd/lineoauth demo

.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME (default 5m)
	@set -e; for package in $$($(GO) list ./...); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			(set -x; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package); done; done

.PHONY: soak
soak: ## 200 goroutines on a bad network for SOAKTIME (default 3m)
	$(GO) test $(RACE) -run '^TestSoak$$' -v -count 1 -timeout 0 -soak $(SOAKTIME) .

.PHONY: simulate
simulate: ## run SEEDS seeds of the simulator (default 1000), from SEED on (default 1)
	$(GO) test -run '^TestSimulate$$' -v -count 1 -timeout 0 ./internal/simulate -seeds $(SEEDS) -seed $(SEED)

.PHONY: simulate-sabotage
simulate-sabotage: ## break each rule of a token's life, and see the simulator find it
	$(GO) test -run '^TestSabotage$$' -v -count 1 -timeout 0 ./internal/simulate -sabotage

.PHONY: docs
docs: ## write docs/faults.md as the tests see it
	$(GO) test -run '^TestFaults$$' -count 1 -update .
