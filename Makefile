# Two commands: `make demo` lets you hear five calls, `make test` proves them. Both set up all they need.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
REPETITIONS ?= 3

.PHONY: help setup demo test lint unit page live bench sounds clean

help:
	@echo "make demo    five real calls on a private Asterisk, to hear and see in demo-out/"
	@echo "make test    all tests (unit, the page in a browser, live calls on the private Asterisk)"
	@echo "make unit    only the tests that need neither Asterisk nor a browser"
	@echo "make page    only the agents' page in a browser; leaves pictures of it in page-out/"
	@echo "make bench   how well it hears, how many calls it carries (a machine that does nothing else; about 35 minutes,"
	@echo "             15 with REPETITIONS=1)"
	@echo "make sounds  speak what is missing or has changed in sounds/manifest.yaml"
	@echo "make setup   only set up"

setup: $(STAMP)

$(STAMP): pyproject.toml setup.py docker/setup.sh agi/hearline/media/_frames.c
	@sh docker/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(STAMP)
	$(BIN)/hearline demo

test: lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check agi bench tests tools setup.py
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/python -m pytest tests/unit

page: $(STAMP)
	$(BIN)/python -m pytest tests/page

live: $(STAMP)
	$(BIN)/python -m pytest tests/live

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	-$(BIN)/python -m bench.ears fetch --split held_out
	$(BIN)/python -m bench.ears measure
	$(BIN)/python -m bench.load --repetitions $(REPETITIONS)
	$(BIN)/python -m bench.page

sounds: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[voice]"
	$(BIN)/hearline sounds make

clean:
	rm -rf $(VENV) demo-out page-out build *.egg-info agi/*.egg-info
