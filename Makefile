GO ?= go
FUZZTIME ?= 5m

# The race detector needs a C compiler.
RACE = $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)

# What a person writes.
GOFILES = $(shell git ls-files --cached --others --exclude-standard '*.go' | grep -v '\.gen\.go$$')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: fmt vet check ## everything that must pass: format, vet, regeneration, tests with the race detector
	@[ -n "$(RACE)" ] || echo "no C compiler here, so the tests run without the race detector"
	$(GO) test $(RACE) -timeout 4m ./...

.PHONY: fmt
fmt: ## fail if gofmt would change a file
	@unformatted=$$(gofmt -l $(GOFILES)); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w would change:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## go vet, and a go.mod that is tidy
	$(GO) vet ./...
	$(GO) mod tidy -diff

.PHONY: generate
generate: ## compile the OpenAPI document into Go
	$(GO) generate ./...

.PHONY: check
check: generate ## fail if the committed code is not what the OpenAPI document generates
	@changed=$$(git diff --name-only -- '*.gen.go'; git ls-files --others --exclude-standard -- '*.gen.go'); \
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
