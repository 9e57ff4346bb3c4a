# make run   everything up to a running gateway with a demo model; PORT=9000 to listen elsewhere
# make test  every check and test, cheapest first
# make setup only the virtual environment; EXTRAS="otel saml parquet" with what is wanted of these
# make fuzz  looks for bytes that break what reads them; make audit  known holes in the locked packages
# make screenshots  the pictures in docs/screenshots anew; needs Chromium
# make secrets  passwords and keys for compose.yaml, in .env

HOST ?= 127.0.0.1
PORT ?= 8000
# The newest Python that really runs here and can make virtual environments.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
  && { echo $$p; break; }; done)
UV_VERSION := 0.13.8
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py

# Compiled modules are kept, whatever the environment says: tests start hundreds of processes, each in a third of the time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run setup setup-dev check test fast lock bench audit fuzz screenshots secrets clean
.DEFAULT_GOAL := run

run: setup
	@$(MANAGE) first_run --host $(HOST) --port $(PORT)
	@exec $(MANAGE) serve --host $(HOST) --port $(PORT)

# Packages that only some need: sign-in by SAML, traces, Parquet. Those of pyproject.toml, each with a lock of its own.
EXTRAS ?=
setup: .venv/installed $(EXTRAS:%=.venv/installed-%)
setup-dev: .venv/installed-dev

# uv installs the locked files in seconds; where it cannot be had, pip does the same more slowly.
.venv/installed: requirements.lock
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { \
	  echo "No Python 3.11 to 3.13 with venv was found. Install one (Debian: python3 and python3-venv), or say PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "Making the virtual environment with $(PYTHON) …"; $(PYTHON) -m venv .venv; }
	@echo "Installing the locked dependencies …"
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) 2>/dev/null || true
	@if test -x $(BIN)/uv; then VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r $<; \
	 else $(BIN)/pip install --quiet --require-hashes -r $<; fi
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	@echo "Installing what the checks and tests need …"
	@if test -x $(BIN)/uv; then VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r $<; \
	 else $(BIN)/pip install --quiet --require-hashes -r $<; fi
	@touch $@

.venv/installed-%: requirements-%.lock .venv/installed
	@echo "Installing what the extra $* needs …"
	@if test -x $(BIN)/uv; then VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r $<; \
	 else $(BIN)/pip install --quiet --require-hashes -r $<; fi
	@touch $@

# Claude Code, for the test in which it drives the gateway; where there is no npm, that test is skipped.
.venv/claude-code/installed: tests/clients/claude-code/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing Claude Code …" && mkdir -p $(@D) && cp $(<D)/package.json $< $(@D) && cd $(@D) && \
	  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && \
	  node node_modules/@anthropic-ai/claude-code/install.cjs && touch $(@F); \
	 else echo "There is no npm: the test with Claude Code is skipped."; fi

# A real LiteLLM proxy, for the tests that run one: an environment of its own, because its demands on other packages
# and those of the checks cannot be met together.
.venv/litellm-proxy/installed: requirements-litellm-proxy.lock .venv/installed-dev
	@echo "Installing a LiteLLM proxy for the tests …"
	@test -x $(@D)/bin/python || $(BIN)/python -m venv $(@D)
	@if test -x $(BIN)/uv; then VIRTUAL_ENV=$(@D) $(BIN)/uv pip install --quiet --require-hashes -r $<; \
	 else $(@D)/bin/pip install --quiet --require-hashes -r $<; fi
	@touch $@

# Cheapest first: format, lint, imports, types, templates, Django's own checks.
check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/djade --check $$(git ls-files 'templates/*.html' '*/templates/*.html')
	$(BIN)/djlint --lint --quiet templates
	git ls-files '*.py' ':!*/migrations/*' | xargs $(BIN)/django-upgrade --target-version 5.2 --check
	GATEWAY_DATA_DIR=$$(mktemp -d) GATEWAY_PUBLIC_URL=https://gateway.example \
	  $(MANAGE) check --deploy --fail-level WARNING
	GATEWAY_DATA_DIR=$$(mktemp -d) $(MANAGE) makemigrations --check --dry-run

test: check .venv/claude-code/installed .venv/litellm-proxy/installed
	$(BIN)/coverage erase
	$(BIN)/python -m pytest --cov --cov-report= --cov-config=pyproject.toml -n $${TEST_WORKERS:-2}
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='conversion/*,accounting/pricing.py' --fail-under=100

fast: setup-dev
	$(BIN)/python -m pytest -q -x -m "not processes"

# Whole dependency tree with hashes, from the ranges in pyproject.toml.
lock:
	$(BIN)/uv pip compile pyproject.toml --generate-hashes --python-version 3.11 --universal --upgrade --quiet --no-header -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --python-version 3.11 --universal --quiet --no-header -c requirements.lock -o requirements-dev.lock
	for extra in otel saml parquet; do \
	  $(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['$$extra'], sep='\n')" | \
	  $(BIN)/uv pip compile - -c requirements.lock -c requirements-dev.lock --generate-hashes --python-version 3.11 --universal --quiet --no-header -o requirements-$$extra.lock || exit 1; done
	echo 'atheris' | $(BIN)/uv pip compile - --generate-hashes --python-version 3.11 --quiet --no-header -o requirements-fuzz.lock
	echo 'litellm[proxy]' | $(BIN)/uv pip compile - -c requirements.lock --generate-hashes --python-version 3.11 --universal --quiet --no-header -o requirements-litellm-proxy.lock

bench: setup-dev
	$(BIN)/python -m benchmarks

# Known holes in all locked packages, Python's and npm's. Fails where one is known; what cannot be asked for is named.
AUDIT_VERSION := 2.10.1
audit: setup
	@$(BIN)/python deploy/audit_locks.py --pip-audit "$(BIN)/uv tool run --quiet pip-audit==$(AUDIT_VERSION)"

# atheris has wheels for Linux only and nothing else needs it, so it lies beside the environment.
.venv/atheris/installed: requirements-fuzz.lock .venv/installed-dev
	@if test -x $(BIN)/uv; then VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes --target $(@D) -r $<; \
	 else $(BIN)/pip install --quiet --require-hashes --target $(@D) -r $<; fi
	@touch $@

# Each target for so many seconds: make fuzz FUZZ_S=600
FUZZ_S ?= 60
FUZZ_SEED ?= 0
fuzz: .venv/atheris/installed
	@PYTHONPATH=.venv/atheris $(BIN)/python -m fuzz --seconds $(FUZZ_S) --seed $(FUZZ_SEED)

screenshots: setup-dev
	@$(BIN)/python -m tests.browser.screenshots

# Random passwords and keys for compose.yaml, in .env, once; what is there stays.
secrets:
	@python3 deploy/make_secrets.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
