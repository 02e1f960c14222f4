# `make` alone tells what there is. Every target prepares the machine first (deploy/setup.sh; a second run fetches nothing).
.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo seeds up doctor test test-long check unit bench chaos fuzz screenshots grafana-check audit licences sbom clean
BIN := .venv/bin
# Processes that share the tests. Each starts real parts of its own; tests/sharing.py says which tests stay together. A test with real
# parts uses less than half of a core, so that two cores take three.
WORKERS := 3
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)

help:
	@echo 'portalpulse - live, exact measurement of online public services'
	@echo
	@echo '  make demo      everything on this machine in one go: real Kafka, ClickHouse, Prometheus, Alertmanager;'
	@echo '                 the figures published for 2024 come out exactly and the agencies below 5 % raise alerts'
	@echo '                 (make demo ARGS=--exit-when-done leaves with the verdict as exit code)'
	@echo '  make seeds     every figure of four published documents beside the one that is counted, each document with real Kafka,'
	@echo '                 worker and ClickHouse; status 1 when one that can be right is not (ARGS="--scenario thai-nguyen-2018")'
	@echo '  make up        the same parts for live data, in the foreground (ARGS="--data DIR --clock system")'
	@echo '  make doctor    what is missing or wrong on this machine, and what to do'
	@echo
	@echo '  make check     linters, types, layers'
	@echo '  make unit      make check, and the tests that start no real parts'
	@echo '  make test      make check, and the tests of everything (what CI runs; ARGS=--chaos adds the slow faults)'
	@echo '  make test-long the same with every mutant, eight times the generated examples, and slow variants of faults and starts'
	@echo '  make bench     speed, latency and the comparison with other engines (ARGS=...)'
	@echo '  make chaos     faults in real Kafka, ClickHouse and workers while dossiers flow; every figure is compared after each'
	@echo '                 (ARGS="--minutes 10 --seed 7 --faults zombie,kill-loop")'
	@echo '  make fuzz      random messages, guided by the code they reach, through decoder and validator (ARGS="--minutes 60")'
	@echo '  make screenshots    pictures of the live board on wall, laptop, phone and paper, and with old figures (docs/pictures)'
	@echo '  make grafana-check  every board in a real Grafana, in a container (docs/grafana.md; ARGS="--prometheus URL --keep")'
	@echo '  make audit     known vulnerabilities of the locked packages (needs the internet); make licences: their licences;'
	@echo '                 make sbom: a bill of materials, CycloneDX JSON (docs/security.md)'
	@echo '  make clean     removes .venv, .cache and tool caches; the data in .portalpulse stays'
	@echo
	@echo 'Next: make demo'

setup:
	@deploy/setup.sh

setup-tests:
	@deploy/setup.sh --tests

demo seeds up doctor: setup
	@$(BIN)/portalpulse $@ $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

unit: check
	$(PYTEST) -m 'not integration' $(ARGS)

test: setup-tests check
	$(PYTEST) $(ARGS)

test-long: setup-tests check
	$(PYTEST) --long $(ARGS)

bench: setup-tests
	$(BIN)/python -m bench $(or $(ARGS),peers)

chaos: setup-tests
	$(BIN)/python -m bench chaos $(ARGS)

fuzz: setup-tests
	$(BIN)/pip install -q --disable-pip-version-check --no-input --only-binary=:all: --require-hashes -r tests/fuzz/requirements.lock
	$(BIN)/python -m tests.fuzz.run $(ARGS)

screenshots: setup-tests
	$(BIN)/python -m bench screenshots $(ARGS)

grafana-check: setup
	$(BIN)/python -m deploy.grafana_container $(ARGS)

audit licences sbom: setup
	$(BIN)/python -m deploy.supply_chain $@

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.portalpulse/*' -prune -exec rm -rf {} +
