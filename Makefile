# The verbs. Nothing here needs more than make, Go and (for what is missing) apt; see .ci/deps.

GO       ?= go
TAGS     := nolibopusfile# we read no files with libopusfile
GOFLAGS_ := -tags $(TAGS)
E2E_TAGS := -tags '$(TAGS) e2e'
ALL_TAGS := -tags '$(TAGS) e2e bench'
ARGS     ?=#                 more flags for "make run": make run ARGS="--lan"
FUZZTIME ?= 20s#             per fuzz target
BENCH    ?= .#               which benchmarks
CHURN_TIME ?= 2m#          how long bench-churn takes; 30m for the figure
CAPACITY ?=#             flags of bench-capacity: go run ./internal/bench/capacity -h
COUNT    ?= 1#               how often each benchmark runs; 10 for benchstat
KILLS    ?= 100#             of e2e-kills
# Their tests compare figures over more sound than the race detector has time for.
FIGURES  := ./internal/neteqtest ./internal/mixertest
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Not in go.mod, so that the tool's own dependencies stay out of the product.
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help run cluster build test unit race e2e e2e-kills node-test lint fuzz bench bench-system bench-capacity bench-churn bench-janus cover clean deps deps-test

help: ## list the verbs
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: build ## build and serve, with data in ./data
	@mkdir -p data
	exec ./bin/parley serve --data-dir data $(ARGS)

cluster: build ## three nodes on this machine, in network namespaces, until Ctrl-C; needs root
	@PARLEY=./bin/parley ./deploy/cluster.sh $(ARGS)

build: deps ## build bin/parley
	$(GO) build $(GOFLAGS_) -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/parley ./cmd/parley

test: deps-test lint unit node-test e2e ## everything: lint, unit tests with the race detector, client tests, real browsers

race: unit ## the unit tests with the race detector

unit: deps
	$(GO) test $(GOFLAGS_) -race -timeout 20m ./...
	$(GO) test $(GOFLAGS_) -timeout 20m $(FIGURES)

node-test: deps-test
	node --test static/*.test.js

e2e: deps-test build ## calls in a real Chromium, with real sound
	$(GO) test $(E2E_TAGS) -count=1 -timeout 15m ./internal/e2e/...

e2e-kills: deps-test build ## nightly: a node of three is killed KILLS times under a call in real browsers
	PARLEY_KILLS=$(strip $(KILLS)) $(GO) test $(E2E_TAGS) -count=1 -timeout 60m -run NodesAreKilled -v ./internal/e2e/

lint: deps ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(ALL_TAGS) ./...
	$(STATICCHECK) $(ALL_TAGS) ./...

# Without -fuzzminimizetime every new input is made smaller for up to a minute, in which nothing else is tried.
fuzz: deps ## every fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list $(GOFLAGS_) ./...); do \
		targets=$$($(GO) test $(GOFLAGS_) -list '^Fuzz' $$pkg); \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test $(GOFLAGS_) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(strip $(FUZZTIME)) \
				-fuzzminimizetime 10x $$pkg; \
		done; \
	done

bench: deps ## benchmarks of the packages
	$(GO) test $(GOFLAGS_) -run '^$$' -bench '$(strip $(BENCH))' -benchmem -count $(strip $(COUNT)) ./...

bench-system: deps-test build ## the figures of docs/performance.md: joins, delays, ticks, in real calls
	$(GO) test -tags '$(TAGS) bench' -count=1 -v -timeout 30m ./internal/bench/...

bench-capacity: build ## how many a node carries: server on core 0, crowd on core 1; CAPACITY="-only silent -time 60s" for less or more
	$(GO) run $(GOFLAGS_) ./internal/bench/capacity $(CAPACITY)

bench-churn: build ## coming and going, speakers in turn, 5 % loss, for CHURN_TIME
	$(GO) run $(GOFLAGS_) ./internal/bench/capacity -only churn -churn $(strip $(CHURN_TIME)) $(CAPACITY)

bench-janus: build ## the same crowd against Debian's Janus AudioBridge, which is installed if it is not there
	command -v janus >/dev/null || apt-get install -y --no-install-recommends janus
	$(GO) run $(GOFLAGS_) ./internal/bench/capacity -only 'janus-.*' $(CAPACITY)

cover: deps ## coverage of the unit tests, as coverage.html
	$(GO) test $(GOFLAGS_) -coverprofile coverage.out ./...
	$(GO) tool cover -html coverage.out -o coverage.html
	$(GO) tool cover -func coverage.out | tail -1

clean: ## remove what was built; ./data (with the local CA that phones trust) stays
	rm -rf bin coverage.out coverage.html internal/e2e/node_modules

deps: ## install what building needs
	@.ci/deps build

deps-test: ## install what testing needs
	@.ci/deps test
