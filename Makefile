# make serve | test: all set-up included. Everything stands on `make setup`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
FIND   := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))
REPO   ?= model_repo

.PHONY: setup dev serve test check certify bench protos pins clean

setup: $(VENV)/.setup
	@$(BIN)/gateway doctor --install base >/dev/null

$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.setup: $(VENV)/.uv deploy/envs/gateway.txt pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python $(FIND) --require-hashes -r deploy/envs/gateway.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

dev: $(VENV)/.dev
$(VENV)/.dev: $(VENV)/.setup deploy/envs/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python $(FIND) --require-hashes -r deploy/envs/dev.txt
	@touch $@

serve: setup
	$(BIN)/gateway serve $(REPO)

test: setup dev
	$(BIN)/python -m pytest

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
