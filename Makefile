# The commands of the house. `make demo` and `make test` need nothing but Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: help demo example-nightly test check bench soak docs format lock clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/base.stamp: requirements/base.txt pyproject.toml
	@sh scripts/venv.sh "$(PYTHON)" "$(VENV)" requirements/base.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml
	@sh scripts/venv.sh "$(PYTHON)" "$(VENV)" requirements/dev.txt
	@touch $@ $(VENV)/base.stamp

# dbt pins what it shares with us otherwise, and we never import it: it has an environment of its own.
$(VENV)-dbt/stamp: requirements/dbt.txt
	@sh scripts/venv.sh "$(PYTHON)" "$(VENV)-dbt" requirements/dbt.txt alone
	@touch $@

demo: $(VENV)/base.stamp  ## Enrich the sample job postings: three passes, no key, no service
	@sh examples/job_postings/demo.sh $(BIN)/inlay

example-nightly: $(VENV)/dev.stamp $(VENV)-dbt/stamp  ## Play a month of nights in a private MariaDB: dumps, answers, dbt
	@sh scripts/debian.sh mariadbd:mariadb-server
	@$(BIN)/python examples/nightly/story.py

test: $(VENV)/dev.stamp $(VENV)-dbt/stamp  ## Run every test
	@sh scripts/debian.sh chromium mariadbd:mariadb-server initdb:postgresql
	@$(BIN)/python -m pytest -n $(WORKERS) tests

check: $(VENV)/dev.stamp  ## Lint, types, structure
	@$(BIN)/ruff check src tests bench
	@$(BIN)/ruff format --check src tests bench
	@$(BIN)/lint-imports
	@$(BIN)/basedpyright

bench: $(VENV)/dev.stamp  ## Measure every target of performance beside its floor
	@$(BIN)/python -m bench

soak: $(VENV)/dev.stamp  ## The long proofs: kills, faults, budgets, limits (about an hour)
	@INLAY_SOAK=1 $(BIN)/python -m pytest -n $(WORKERS) tests/durability -q -p no:cacheprovider

docs: $(VENV)/dev.stamp  ## Write the generated pages of docs/, then the site in docs/_build/html
	@$(BIN)/python -m inlay.cli.reference > docs/cli.md
	@$(BIN)/python -m inlay.spec.reference docs/declaration.md
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

format: $(VENV)/dev.stamp  ## Let ruff format the code
	@$(BIN)/ruff check --fix src tests bench
	@$(BIN)/ruff format src tests bench

lock:  ## Compile requirements/*.txt anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/base.txt pyproject.toml requirements/build.in
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -c requirements/base.txt -o requirements/dev.txt pyproject.toml requirements/build.in --group dev
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/dbt.txt requirements/dbt.in

clean:  ## Remove what was built here
	rm -rf $(VENV) $(VENV)-dbt build dist docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache examples/job_postings/.inlay examples/job_postings/report.html examples/nightly/.play
