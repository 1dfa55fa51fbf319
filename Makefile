# IAM Activity Tracker. `make help` lists the targets.
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
TOOLS    := $(CURDIR)/.tools
LINT_VERSION := v2.15.0

.DEFAULT_GOAL := help
.PHONY: help demo build lambda deploy init update destroy status logs logs-follow test-alerts release test test-matrix test-integration test-trino validate lint fuzz bench bench-quick golden template docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: build ## show the product on a simulated organization (no AWS account needed)
	@./bin/iamtrack demo

build: ## build bin/iamtrack
	@mkdir -p bin
	CGO_ENABLED=1 $(GO) build -ldflags '$(LDFLAGS)' -o bin/iamtrack ./cmd/iamtrack

ARCH ?= arm64
lambda: ## build the functions' program into dist/lambda, for `sam deploy` (ARCH=arm64 or amd64)
	@mkdir -p dist/lambda
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o dist/lambda/bootstrap ./cmd/bootstrap

# Memory for time: compilers and tests collect garbage a quarter as often.
test test-integration test-trino lint: export GOGC ?= 400
test: ## vet, and run all tests (the race detector where goroutines meet)
	$(GO) test -vet=all -timeout 20m ./...
	$(GO) test -vet=off -race -short -timeout 30m ./internal/collect ./internal/store ./internal/lake/... ./internal/source ./internal/lookup ./internal/notify

test-matrix: ## collection under each pair of faults in ten worlds, and killed in ten (half an hour)
	IAMTRACK_TEST_MATRIX=10 $(GO) test -count=1 -timeout 2h -v -run 'TestFaultsInManyWorlds|TestKilled|TestTwoProcesses' ./internal/lookup

test-integration: build ## use real servers and other tools (needs Python 3 and Java 17; installs all else by version)
	./test/integration/run
	./test/integration/sdk/run

test-trino: ## ask all queries of Trino and of DuckDB and compare (needs a JDK, 17 or later, and 2 GB; installs Trino by version)
	$(GO) test -count=1 -timeout 20m -tags integration -run TestTrino ./internal/query/athena

validate: ## check the stack's templates with AWS's own tools (needs Python 3.10; installs cfn-lint and SAM's translator by version)
	$(GO) test ./deploy
	$(GO) test -count=1 -tags integration -run TestLint ./deploy

lint: $(TOOLS)/golangci-lint ## run the linters
	$(TOOLS)/golangci-lint run ./...

$(TOOLS)/golangci-lint: Makefile
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

fuzz: ## fuzz each parser for 30 seconds
	@for f in $$($(GO) list -f '{{.Dir}}' ./internal/...); do \
	  for t in $$(grep -ohE 'func Fuzz[A-Za-z]+' $$f/*_test.go 2>/dev/null | awk '{print $$2}'); do \
	    (cd $$f && $(GO) test -run '^$$' -fuzz "^$$t$$" -fuzztime 30s .) || exit 1; done; done

bench: ## measure against peers and limits, into docs/performance.md (an hour; 10 million events)
	$(GO) run ./bench -o docs/performance.md

bench-quick: ## the same on 200,000 events, printed
	$(GO) run ./bench -events 200000 -large 0

golden: ## rewrite the golden files
	$(GO) test ./internal/cli ./internal/lake ./internal/query/... ./internal/render ./internal/simulate -update

IAMTRACK ?= ./bin/iamtrack
STACK    := $(if $(STACK_NAME),--stack $(STACK_NAME))
deploy: build lambda ## make the stack in AWS, or bring it up to date (ARGS='--parameter …'; STACK_NAME, AWS_REGION, AWS_PROFILE)
	$(IAMTRACK) aws deploy $(STACK) --bootstrap dist/lambda/bootstrap $(ARGS)

init: build ## collect the last 90 days into the stack, export them, ask a first query
	$(IAMTRACK) aws init $(STACK) $(ARGS)

update: build lambda ## bring the stack's program and template up to date; parameters stay
	$(IAMTRACK) aws update $(STACK) --bootstrap dist/lambda/bootstrap $(ARGS)

destroy: build ## delete the stack, after its name is typed; its data is kept (ARGS=--delete-data: it is not)
	$(IAMTRACK) aws destroy $(STACK) $(ARGS)

status: build ## tell how the stack is
	$(IAMTRACK) aws status $(STACK) $(ARGS)

logs: build ## show what the stack's functions logged in the last hour
	$(IAMTRACK) aws logs $(STACK) $(ARGS)

logs-follow: build ## show what the stack's functions log, until interrupted
	$(IAMTRACK) aws logs --follow $(STACK) $(ARGS)

test-alerts: build ## send a test message to each channel of the stack
	$(IAMTRACK) aws test-alerts $(STACK) $(ARGS)

release: ## build bin/iamtrack with the functions' program in it
	@mkdir -p bin internal/stack/program
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o internal/stack/program/arm64 ./cmd/bootstrap
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o internal/stack/program/x86_64 ./cmd/bootstrap
	CGO_ENABLED=1 $(GO) build -trimpath -tags bootstrap -ldflags '$(LDFLAGS)' -o bin/iamtrack ./cmd/iamtrack

template: ## rewrite the generated parts of deploy/template.yaml
	$(GO) test ./deploy -update

docs: ## rewrite the generated pages: rules, queries, data model, commands
	$(GO) test ./internal/cli -run TestDocs -update

clean: ## remove what was built
	rm -rf bin dist .tools
