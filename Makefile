GO ?= go
FUZZTIME ?= 5m
SOAKTIME ?= 3m
SEEDS ?= 1000
SEED ?= 1

# Tools that are not dependencies of this module.
GOVULNCHECK = $(GO) -C internal/tools tool govulncheck
GOLANGCI_LINT = $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ACTIONLINT = $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# Compares OpenAPI documents and Go APIs. "go tool" preserves its exit codes.
CONTRACT = $(GO) -C internal/tools tool contract

# Arguments are passed in the environment, so that neither make nor a shell evaluates
# them.
override BASE := $(value BASE)
override FROM := $(value FROM)
override VERSION := $(value VERSION)
export BASE FROM VERSION GO

# All that is compiled has the same flags, also where tests compile in other folders, so
# that it is compiled once.
export GOFLAGS := $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath

# The race detector needs a C compiler.
RACE ?= $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

# The modules of this repository, each with a go.mod of its own.
MODULES = . bench examples examples/deploy internal/assets internal/interop internal/man internal/tools store/redisstore store/redisstore/internal/fleet

# Modules that take minutes to download and compile the first time. make lint vets
# them, make test-examples and make test-release test those that have tests.
SLOW = bench examples/deploy internal/assets
QUICK = $(filter-out $(SLOW),$(MODULES))

# The platforms on which everything, and store/redisstore, must compile: one of each
# kind. On plan9 miniredis, which its tests use, does not build. Compiling without
# optimization is faster.
PLATFORMS = linux/386 linux/arm linux/arm64 linux/s390x linux/riscv64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 \
	freebsd/amd64 solaris/amd64 illumos/amd64 aix/ppc64 plan9/amd64 js/wasm wasip1/wasm
REDIS_PLATFORMS = linux/386 darwin/arm64 windows/amd64 solaris/amd64 plan9/amd64 js/wasm

# Hand-written Go files.
GOFILES = $(shell git ls-files --cached --others --exclude-standard '*.go' | grep -v '\.gen\.go$$')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# With the race detector, a process takes a second to exit by default.
export GORACE ?= atexit_sleep_ms=0

# Omit debug information, which takes a quarter of the linker's time.
TESTFLAGS = -vet=off -ldflags=-w -timeout 30m

# Tests, compilers and linkers end before it pays to collect all their garbage.
test test-contract: export GOGC ?= 800

# What make test runs without the race detector, which make test-contract has: the other
# modules, what has no goroutines of its own, and what starts programs, whose parts are
# tested with it where they are. So are the longest tables of the root and the
# scripts of the command line: what they go through, others do as well, and with it.
PLAIN_TESTS = ^Test(ClocksApart|CompareSecrets|ConfigEqual|Consumer|DecoratedEnvironment|DocumentsNameWhatIsThere|EnvironmentWithSomethingInside|FIPS|Faults|FleetWaits|LoopbackWithoutProxy|LostAnswersAreBounded|ManyFields|NewRefuses|PanicsShowNoSecret|README|Scripts|UnreadableProxy)$$
PLAIN = ./api ./internal/assertion ./internal/simulate ./lineoauthtest/conformance
NESTED = $(filter-out .,$(QUICK))

# The parts of make test. Two at a time keep two cores busy: the long ones first, and
# beside each other what downloads or compiles different things.
PARTS = test-raced $(QUICK:%=tidy-in-%) vet check test-plain test-tables $(NESTED:%=test-in-%)

.PHONY: test
test: fmt ## run all required checks: format, go.mod files, vet, regeneration, tests with the race detector
	@[ -n "$(RACE)" ] || echo "the tests run without the race detector, which needs a C compiler"
	@$(MAKE) --no-print-directory -j 2 $(PARTS)

# They build what these modules require.
test-tables test-in-internal/tools: $(QUICK:%=tidy-in-%)

# Tests that run make do not inherit -j.
.PHONY: $(PARTS)
test-plain:
	MAKEFLAGS= $(GO) test $(TESTFLAGS) $(PLAIN)
test-raced:
	@packages=$$($(GO) list ./... | grep -vE '/(api|internal/(assertion|simulate)|lineoauthtest/conformance)$$'); set -x; \
	MAKEFLAGS= $(GO) test $(TESTFLAGS) $(RACE) -skip '$(PLAIN_TESTS)' $$packages
test-tables:
	MAKEFLAGS= $(GO) test $(TESTFLAGS) -run '$(PLAIN_TESTS)' . ./internal/cli
$(NESTED:%=test-in-%): test-in-%:
	MAKEFLAGS= $(GO) -C $* test $(TESTFLAGS) ./...

.PHONY: test-contract
test-contract: ## run the slowest tests: verdicts on a corpus of changes, variants of the OpenAPI document, a new operation, transcripts, updates, proposals, a release, more seeds, the race detector where make test has none
	$(GO) -C internal/tools test -vet=off -count 1 -run '^Test(Corpus|ChangesWorkflow)$$' ./contract -all
	$(GO) -C internal/tools test -v -vet=off -count 1 -timeout 0 -run '^Test(VariantsOfTheContract|NewOperation|Documents|APIDiff|SpecUpdate|Proposal|Release)$$' ./targets -all
	$(GO) test $(TESTFLAGS) -run '^TestSimulate$$' ./internal/simulate -seeds 200
	$(GO) test $(TESTFLAGS) $(RACE) -run '$(PLAIN_TESTS)' -skip '^Test(Consumer|README)$$' . ./internal/cli
	$(GO) test $(TESTFLAGS) $(RACE) ./lineoauthtest/conformance
	$(GO) test $(TESTFLAGS) $(RACE) ./internal/assertion -all
	@set -ex; for module in $(filter-out internal/tools,$(NESTED)); do $(GO) -C $$module test $(TESTFLAGS) $(RACE) ./...; done

.PHONY: test-node
test-node: ## test LINE's SDK for JavaScript against the emulator (Node 20 or newer)
	@if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		echo "test-node: skipped, needs Node 20"; exit 0; fi; \
	set -ex; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	$(GO) build -o "$$bin/lineoauth" ./cmd/lineoauth; \
	cd internal/interop/node; \
	npm ci --no-audit --no-fund --loglevel=error; \
	LINEOAUTH="$$bin/lineoauth" node --test

.PHONY: test-examples
test-examples: ## test the deployments and the examples in TypeScript (Node 20 or newer) and Python against the emulator
	$(GO) -C examples/deploy test ./...
	@set -e; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; export LINEOAUTH="$$bin/lineoauth"; \
	(set -x; $(GO) build -o "$$LINEOAUTH" ./cmd/lineoauth); \
	if python3 -c '' 2>/dev/null; then (set -x; cd examples/python && python3 -B -m unittest test_bot.py); \
	else echo "test-examples: skipping Python, which is not installed"; fi; \
	if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		(set -x; cd examples/typescript && npm ci --no-audit --no-fund --loglevel=error && npm test); \
	else echo "test-examples: skipping TypeScript, which needs Node 20"; fi

.PHONY: test-publish
test-publish: ## publish the modules to a folder, then get, build, install and test them
	$(GO) -C internal/tools test -run '^TestPublish$$' -count 1 -timeout 30m -v -publish .

.PHONY: bench
bench: ## benchmark against other libraries, and the cost of a channel and of the emulator (about 8 minutes)
	$(GO) -C bench run .
	$(GO) test -run '^$$' -bench PoolMemory -benchtime 1x .
	$(GO) test -run '^$$' -bench Verify -cpu 1 ./lineoauthtest

.PHONY: fmt
fmt: ## fail if gofmt would change a file
	@files="$(GOFILES)"; [ -n "$$files" ] || { echo "git lists no Go files; run this in a git checkout"; exit 1; }; \
	unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$files) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi

.PHONY: tidy $(MODULES:%=tidy-in-%)
tidy: $(MODULES:%=tidy-in-%) ## fail if go mod tidy would change a go.mod or go.sum file
$(MODULES:%=tidy-in-%): tidy-in-%:
	$(GO) -C $* mod tidy -diff

.PHONY: vet
vet: ## run go vet
	@set -ex; for module in $(QUICK); do $(GO) -C $$module vet ./...; done

.PHONY: platforms
platforms: export CGO_ENABLED = 0
platforms: unoptimized = -gcflags='all=-N -l'
platforms: ## vet for other platforms, and run some tests as WebAssembly if Node is installed (slow the first time)
	@set -e; for platform in $(PLATFORMS); do echo "$$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) vet $(unoptimized) ./...; done
	@set -e; for platform in $(REDIS_PLATFORMS); do echo "$$platform store/redisstore"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) -C store/redisstore build $(unoptimized) ./...; done
	@if ! command -v node >/dev/null; then echo "js/wasm: skipped, needs Node"; exit 0; fi; set -x; \
	GOOS=js GOARCH=wasm $(GO) test $(unoptimized) -exec "$$($(GO) env GOROOT)/lib/wasm/go_js_wasm_exec" -run "^Test(SignUnchecked|SignBySigner|ParseRefuses|NoLocks)$$" \
		./internal/assertion ./store/filestore

.PHONY: lint
lint: tidy ## run golangci-lint in all modules and, for the workflows, actionlint (slow the first time)
	@set -e; for module in $(MODULES); do (set -x; cd $$module && $(GOLANGCI_LINT) run ./...); done
	$(ACTIONLINT)
	@if grep -n 'uses:' .github/workflows/*.y*ml | grep -vE '@[0-9a-f]{40} # v[0-9.]+$$'; then \
		echo "an action above is not pinned to a commit; use @COMMIT # vVERSION"; exit 1; fi
	@for workflow in .github/workflows/*.y*ml; do \
		if ! tr '\n' ' ' <$$workflow | grep -q ' permissions:   contents: read  '; then \
			echo "$$workflow has other top-level permissions than contents: read"; exit 1; fi; done
	@if grep -n ': write' .github/workflows/*.y*ml | grep -vE '/(changes|openapi|release)\.yml:.*(contents|pull-requests): write|/release\.yml:.*(attestations|id-token|packages): write|/codeql\.yml:.*security-events: write'; then \
		echo "a job above has write access; only those that comment, propose, release and run CodeQL may"; exit 1; fi

.PHONY: vuln
vuln: ## run govulncheck, which connects to vuln.go.dev
	@set -e; for module in $(MODULES); do (set -x; $(GOVULNCHECK) -C $(CURDIR)/$$module -test ./...); done

.PHONY: generate
generate: ## generate Go code from the OpenAPI document
	$(GO) generate ./...

.PHONY: check
check: ## fail if the generated files are out of date
	@internal/tools/check

.PHONY: spec-diff
spec-diff: ## report what the changes of the OpenAPI document since BASE (a git revision or file) break: the wire, Go or nothing
	@$(CONTRACT) spec-diff "$$BASE"

.PHONY: spec-comment
spec-comment: ## post verdict/verdict.md, the output of spec-diff, on the pull request PULL_REQUEST (needs gh)
	@internal/tools/spec-comment

.PHONY: spec-update
spec-update: ## update the OpenAPI document FROM a file or URL: regenerate, test, and list the remaining steps
	@$(CONTRACT) spec-update "$$FROM"

.PHONY: spec-proposal
spec-proposal: ## run spec-update in a clone; writes a patch to the folder proposal if callers could notice
	@$(CONTRACT) spec-proposal "$$FROM"

.PHONY: spec-source
spec-source: ## fail if LINE's document, at the URL in api/SOURCE or FROM another, has changed since the last comparison
	@$(CONTRACT) spec-source "$$FROM"

.PHONY: spec-pull-request
spec-pull-request: ## open or update a pull request with the folder proposal (needs gh)
	@internal/tools/spec-pull-request

.PHONY: api-diff
api-diff: ## report Go API changes since BASE (a git revision), and the version that they require
	@$(CONTRACT) api-diff "$$BASE"

.PHONY: release-prepare
release-prepare: ## make the modules require each other at VERSION, the next release
	@internal/tools/release-prepare "$$VERSION"

.PHONY: release-notes
release-notes: ## print the section of CHANGELOG.md for VERSION; fails if it is not ready for release
	@internal/tools/release-notes "$$VERSION"

.PHONY: release
release: ## publish the tag VERSION with its notes and the files in dist (needs gh)
	@internal/tools/release "$$VERSION"

.PHONY: man
man: ## write the manual pages, one per command, to dist/man
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(GO) -C internal/man run . $(CURDIR)/dist/man

.PHONY: start
start: ## measure the startup time of the command line, compared with an empty Go program
	$(GO) -C bench run . start

.PHONY: release-image
release-image: ## push the image in dist to ghcr.io as VERSION (needs REGISTRY_USER and REGISTRY_PASSWORD)
	@internal/tools/release-image "$$VERSION"

.PHONY: release-snapshot
release-snapshot: ## build a release of the last commit in dist: archives, packages, an image, bills of materials
	@internal/tools/release-snapshot dist

.PHONY: release-twice
release-twice: ## fail if two builds of a release differ (about 10 minutes)
	@internal/tools/release-twice

.PHONY: test-release
test-release: ## unpack and run the files of release-snapshot in dist, as far as this machine can
	$(GO) -C internal/assets test -vet=off -count 1 -dist $(CURDIR)/dist

.PHONY: demo
demo: ## show a token's life cycle on an emulator
	$(GO) run ./cmd/lineoauth demo

.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME (default 5m)
	@set -e; for package in $$($(GO) list ./...); do \
		for name in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			(set -x; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package); done; done

.PHONY: soak
soak: ## run 200 goroutines on an unreliable network for SOAKTIME (default 3m)
	$(GO) test $(RACE) -run '^TestSoak$$' -v -count 1 -timeout 0 -soak $(SOAKTIME) .

.PHONY: simulate
simulate: ## run SEEDS seeds of the simulator (default 1000), from SEED on (default 1)
	$(GO) test -run '^TestSimulate$$' -v -count 1 -timeout 0 ./internal/simulate -seeds $(SEEDS) -seed $(SEED)

.PHONY: simulate-sabotage
simulate-sabotage: ## break each rule of a token's life cycle, and check that the simulator finds it
	$(GO) test -run '^TestSabotage$$' -v -count 1 -timeout 0 ./internal/simulate -sabotage

.PHONY: docs
docs: ## regenerate docs/faults.md from the tests
	$(GO) test -run '^TestFaults$$' -count 1 -update .
