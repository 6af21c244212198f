GO ?= go
FUZZTIME ?= 5m

# The race detector needs a C compiler.
RACE = $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

# The modules of this repository, each with a go.mod of its own.
MODULES = . bench examples internal/strangers

# What a person writes.
GOFILES = $(shell git ls-files --cached --others --exclude-standard '*.go' | grep -v '\.gen\.go$$')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: fmt vet check ## everything that must pass: format, vet, regeneration, tests with the race detector
	@[ -n "$(RACE)" ] || echo "no C compiler here, so the tests run without the race detector"
	@set -e; for module in $(MODULES); do (set -x; $(GO) -C $$module test $(RACE) -timeout 4m ./...); done

.PHONY: test-node
test-node: ## LINE's SDK for JavaScript against the emulator (Node 20 or newer)
	@if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		echo "test-node: skipped, there is no Node 20 here"; exit 0; fi; \
	set -ex; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	$(GO) build -o "$$bin/lineoauth" ./cmd/lineoauth; \
	cd internal/strangers/node; \
	npm ci --no-audit --no-fund --loglevel=error; \
	LINEOAUTH="$$bin/lineoauth" node --test

.PHONY: bench
bench: ## measure against peers, and what a channel and the emulator cost (some 5 minutes)
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
	@set -e; for module in $(MODULES); do (set -x; $(GO) -C $$module vet ./...; $(GO) -C $$module mod tidy -diff); done

.PHONY: generate
generate: ## compile the OpenAPI document into Go
	$(GO) generate ./...

.PHONY: check
check: generate ## fail if the committed code is not what the OpenAPI document generates
	@changed=$$(git diff --name-only -- '*.gen.go' && git ls-files --others --exclude-standard -- '*.gen.go') || exit 1; \
	if [ -n "$$changed" ]; then \
		git --no-pager diff -- '*.gen.go'; \
		echo "Not what the OpenAPI document generates:"; echo "$$changed"; \
		echo "Mend it: make generate, then commit these files."; exit 1; fi

.PHONY: demo
demo: ## show the whole life of a token against an emulator
	$(GO) run ./cmd/lineoauth demo

.PHONY: fuzz
fuzz: ## fuzz the private-key parser for FUZZTIME (default 5m)
	$(GO) test -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZTIME) ./internal/assertion
