# Three commands: `make try` lets you ring the hotline from a browser, `make demo` hear five calls, `make test` proves them.
# Each sets up all it needs.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
REPETITIONS ?= 3

.PHONY: help setup try demo test lint unit page live talks callers delivery docker-test bench sounds clean

help:
	@echo "make try     a private Asterisk with the hotline, to be rung from the browser; .venv/bin/hearline stack down ends it"
	@echo "make demo    five real calls on a private Asterisk, to hear and see in demo-out/"
	@echo "make test    all tests (unit, the page in a browser, live calls on the private Asterisk)"
	@echo "make unit    only the tests that need neither Asterisk nor a browser"
	@echo "make page    only the agents' page in a browser; leaves pictures of it in page-out/"
	@echo "make live    only the live calls (make callers, make talks, make delivery: a part of them)"
	@echo "make docker-test  the docker stack, on a Docker Engine of the tests' own (root)"
	@echo "make bench   how well it hears, how many calls it carries (a machine that does nothing else; about 35 minutes,"
	@echo "             15 with REPETITIONS=1)"
	@echo "make sounds  speak what is missing or has changed in sounds/manifest.yaml"
	@echo "make setup   only set up"

setup: $(STAMP)

$(STAMP): pyproject.toml setup.py docker/setup.sh agi/hearline/media/_frames.c
	@sh docker/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

try: $(STAMP)
	$(BIN)/hearline stack up

demo: $(STAMP)
	$(BIN)/hearline demo

# Side by side: the docker stack, with the unit tests in what it leaves of the cores; then live calls, which mostly wait.
# The longest first. What each of them prints comes when it has ended.
BESIDE := $(MAKE) --no-print-directory --jobs 2 --output-sync=target --keep-going
test: lint
	@$(BESIDE) docker-test unit
	@$(BESIDE) talks callers page delivery

lint: $(STAMP)
	$(BIN)/ruff check agi bench tests tools setup.py
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: $(STAMP)
	nice $(BIN)/python -m pytest tests/unit --numprocesses auto --dist loadfile

page: $(STAMP)
	$(BIN)/python -m pytest tests/page

live: $(STAMP)
	$(BIN)/python -m pytest tests/live

talks callers delivery: $(STAMP)
	$(BIN)/python -m pytest tests/live/$@

# It says so if it is left out, because no Docker Engine can be had.
docker-test: $(STAMP)
	$(BIN)/python -m pytest tests/docker

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	-$(BIN)/python -m bench.ears fetch --split held_out
	$(BIN)/python -m bench.ears measure
	$(BIN)/python -m bench.load --repetitions $(REPETITIONS)
	$(BIN)/python -m bench.page
	$(BIN)/python -m bench.ledger

sounds: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[voice]"
	$(BIN)/hearline sounds make

clean:
	rm -rf $(VENV) demo-out page-out build *.egg-info agi/*.egg-info
