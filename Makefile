# Everything on a machine that has Python 3.11+ and make. `make` alone lists the targets.
PYTHON ?= python3
PY := .venv/bin/python
# Processes that run tests, each with stores of its own: one more than cores on a small machine, as some tests only wait.
JOBS ?= 3

.DEFAULT_GOAL := help
.PHONY: help run dev check test fuzz bench chaos migrate studio lock openapi release pin-images ui clean env-run env-dev env-studio

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env-run:
	@$(PYTHON) scripts/bootstrap.py run
env-dev:
	@$(PYTHON) scripts/bootstrap.py dev
env-studio:
	@$(PYTHON) scripts/bootstrap.py studio

ui: env-run ## Build the web page where its sources have changed
	@$(PY) scripts/build_ui.py

run: ui ## Start everything (HOST=127.0.0.1 PORT=8000 DATA_DIR=.data)
	@$(PY) -m llama_service up

dev: env-dev ui ## The same, with the API reloaded and the page rebuilt as you edit
	@$(PY) scripts/dev.py

migrate: env-run ## Bring the database of DATABASE_URL up to date
	@$(PY) -m llama_service migrate

check: env-dev ## Lint, format, types, import rules, migrations, page, API description
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m scripts.check_migrations
	$(PY) scripts/build_ui.py --check
	$(PY) -m scripts.openapi --check

test: env-dev ui ## All tests, in a real browser too (ARGS="tests/unit -q" for some, JOBS=0 in one process)
	$(PY) -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(ARGS)

fuzz: env-dev ui ## Send the API thousands of generated requests (EXAMPLES=300 for each operation)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),300) $(PY) -m pytest tests/integration/api/test_fuzz.py -s

bench: env-dev ui ## Measure (ARGS names a benchmark)
	$(PY) -m bench $(ARGS)

chaos: env-dev ui ## Kill parts of a running service and count what is lost
	$(PY) -m bench.chaos $(ARGS)

studio: env-studio ## Open the chat graph in LangGraph's studio
	$(PY) -m scripts.studio $(ARGS)

openapi: env-dev ## Write the API description and the page's client
	$(PY) -m scripts.openapi
	$(PY) scripts/build_ui.py --client

lock: env-dev ## Resolve the requirements anew
	sh scripts/lock.sh

release: env-dev ## Make dist/: wheel, source, chart, bills of materials, licences, checksums
	$(PY) -m scripts.release

pin-images: env-run ## Write the digests of the images to deploy/images.env (docker)
	$(PY) scripts/pin_images.py

clean: ## Remove what was built; .data and .venv stay
	rm -rf ui/dist dist build .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './ui/node_modules/*' -prune -exec rm -rf {} +
