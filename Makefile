# Needs Python 3.11 or newer with venv, and make. Everything lands in .venv; the state of `make run` in .lightkeeper.
PYTHON ?= python3
JOBS ?= 3
HERE := .venv/bin
MODELS := demand returns
INPUTS := requirements.lock tests/independent/requirements.lock pyproject.toml tools/setup.py
# Workers share the processors: each has one thread for frames and for matrices.
PYTEST = POLARS_MAX_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(HERE)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup peers run test models check bench nightly lock clean clean-home

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' Makefile | awk -F@ '{ printf "make %-11s %s\n", $$1, $$2 }'

setup: ## make .venv from the lock; instant when nothing changed
	@{ pwd; cat $(INPUTS); } | cmp -s - .venv/stamp && test -x $(HERE)/python || { \
	  command -v "$(PYTHON)" >/dev/null || { echo "make setup: no $(PYTHON) here. Install Python 3.11 or newer with venv (on Debian: apt-get install python3-venv)." >&2; exit 1; }; \
	  "$(PYTHON)" tools/setup.py && { pwd; cat $(INPUTS); } > .venv/stamp; }

run: setup ## land the sample, build everything and serve Dagster's UI
	@$(HERE)/lightkeeper up

peers: setup
	@$(HERE)/python tools/setup.py peers

test: peers ## the test suite
	$(PYTEST) -m "not nightly"

models: setup ## each declared model is trained, judged and asked on rows made up from its table's contract
	@for model in $(MODELS); do LIGHTKEEPER_HOME=.lightkeeper $(HERE)/lightkeeper model test $$model --dummy || exit 1; done

check: setup ## format, lint, types, floors, locks and the rules of the house
	@test ! -e platform/__init__.py || { echo "platform/__init__.py hides Python's own module platform: remove it." >&2; exit 1; }
	$(HERE)/ruff format --check .
	$(HERE)/ruff check .
	$(HERE)/mypy
	$(HERE)/lint-imports
	$(HERE)/python -m tools.lock --check
	$(HERE)/uv pip check -q --python $(HERE)/python
	$(HERE)/python -m pytest tests/test_house.py

bench: setup ## ratios to bare scripts, kept in benchmarks/results
	$(HERE)/python benchmarks/run.py

# What a run takes is judged in some of them, so that nothing runs beside it.
nightly: JOBS = 1
nightly: peers ## the tests that take longer than the suite may
	$(PYTEST) -m nightly || test $$? = 5 # 5: none is marked so

lock: setup ## make the locks anew from pyproject.toml; UPGRADE=1 takes the newest releases
	$(HERE)/python -m tools.lock $(if $(UPGRADE),--upgrade)

clean: ## remove .venv, caches and builds; never .lightkeeper, which holds your tables
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./.lightkeeper -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-home: ## remove .lightkeeper, that is every table and model in it, after asking
	@printf 'Remove .lightkeeper with every table and model in it? [y/N] '; read answer; \
	  test "$$answer" = y && rm -rf .lightkeeper || echo "Nothing was removed."
