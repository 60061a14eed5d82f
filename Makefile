# Every habit of the house; `make help` lists them. Nothing but Python 3.11+ is needed, and nothing outside this folder is touched.
SHELL := /bin/sh
PORT ?= 8000
export PORT
unexport PYTHONDONTWRITEBYTECODE # or else each of hundreds of processes compiles everything anew
WORKERS ?= 2

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && exit; done; echo python3)
PY := .venv/bin/python
INSTALL := @$(PYTHON) deploy/setup.py

.PHONY: help setup setup-dev setup-bench demo run test check format bench chaos up down lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the product needs into .venv (every other target does it by itself)
	$(INSTALL) requirements.lock

setup-dev:
	$(INSTALL) requirements-dev.lock

setup-bench:
	$(INSTALL) requirements-dev.lock requirements-bench.lock

demo: setup ## one invoice goes out, bounces, falls back, is reminded, paid and thanked: watch it
	@$(PY) -m services.sandbox.demo

run: setup ## start everything in one process on PORT (8000) and stay
	@exec $(PY) -m services

test: setup-dev ## all tests, on PostgreSQL and RabbitMQ servers of their own (ARGS="-k payment" for some, WORKERS=4 for more side by side)
	@$(PY) -m tests.servers.rabbitmq
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup-dev ## lint, format, types, import rules: what CI runs before the tests
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

format: setup-dev ## bring the code into the house's form
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

bench: setup-bench ## measure against the baselines, into build/bench.json (FULL=1: the large sizes)
	@$(PY) -m tests.servers.rabbitmq
	@FULL=$(FULL) $(PY) -m tests.bench

chaos: setup-dev ## kill, cut and slow down things, then count what was lost or doubled, into build/chaos.json
	@$(PY) -m tests.servers.rabbitmq
	@$(PY) -m tests.chaos

up: ## the distributed form in containers: PostgreSQL, RabbitMQ, migration, three services (docker compose)
	@test -f .env || (umask 077; $(PYTHON) deploy/local_env.py > .env; echo "made .env: secrets of this machine, doubles instead of providers")
	docker compose up --build --detach
	@echo "up: one origin at http://localhost:$(PORT)"

down: ## end what `make up` started
	docker compose down

lock: setup-dev ## resolve pyproject.toml anew into the lock files (keeps versions that still fit)
	@$(PY) -m pip install --quiet uv
	@for group in '' dev bench; do \
		.venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
			--no-emit-index-url --no-emit-find-links $${group:+--group $$group} -o requirements$${group:+-$$group}.lock >/dev/null || exit 1; \
	done

clean: ## remove what was made here: .venv, build, caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
