# make serve | make test: all set-up included, on a machine that has nothing but Python >= 3.11 and make.
#
#   setup          .venv with the command `gateway` (no ML framework in it), Environment `base` beside it
#   dev            what `check` and `test` need on top
#   check          ruff, mypy --strict, import-linter
#   certify        the long run that writes docs/certified.md, then the slow tests; resumes where it stopped
#   certify-sample two rows of it again, compared with what is written
#   conformance    docs/conformance.md, from the rows in gateway/conformance
#   recognise      the recogniser over all files that exporters and packages give; writes docs/formats.md
#   mutants        planted bugs in the converters: how many the verification catches; writes docs/mutants.md
#   faces          face recognition end to end: fetches nets and photos, serves, compares, draws .cache/faces/faces.png
#   fuzz           the front doors under a fuzzer, side by side: SECONDS=60 TARGETS="json tfs"; all by default
#   pins           deploy/envs/*.in -> *.txt, with hashes, and what they weigh
#   protos         protos/*.proto -> gateway/protocols/generated
#
# Behind a firewall: PIP_INDEX_URL, PIP_FIND_LINKS and UV_* are honoured.
VENV  := .venv
BIN   := $(VENV)/bin
UV    := $(BIN)/uv
REPO  ?= model_repo
WORKERS ?= auto
FIND  := $(foreach place,$(PIP_FIND_LINKS),--find-links $(place))
ENVS  := deploy/envs
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# The newest pins are compiled for 3.11 and up; 3.11 first because Environments use it too.
ifndef PYTHON
PYTHON := $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c '$(NEW_ENOUGH)' 2>/dev/null && echo $(name))))
endif

.PHONY: setup dev serve test check certify certify-sample conformance mutants recognise faces fuzz bench pins protos clean
.DELETE_ON_ERROR:

setup: $(VENV)/.setup
	@$(BIN)/gateway doctor --install base >/dev/null

# uv is installed by pip at the version and hash that gateway.txt pins; uv does the rest.
$(VENV)/.uv:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 was found (looked for python3.11 to python3.14 and python3). Install one, or say where it is: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) is older than Python 3.11, which the gateway needs." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) -m venv failed (see above). On Debian and Ubuntu the package python3-venv is missing." >&2; exit 1; }
	@awk '/^uv==/ {found = 1} found {print} found && !/\\$$/ {exit}' $(ENVS)/gateway.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.txt
	@touch $@

$(VENV)/.setup: $(VENV)/.uv $(ENVS)/gateway.txt pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python $(FIND) --require-hashes -r $(ENVS)/gateway.txt
	$(UV) pip install --quiet --python $(BIN)/python $(FIND) --no-deps -e .
	@touch $@

dev: $(VENV)/.dev
$(VENV)/.dev: $(VENV)/.setup $(ENVS)/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python $(FIND) --require-hashes -r $(ENVS)/dev.txt
	@touch $@

serve: setup
	$(BIN)/gateway serve $(REPO)

test: setup dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

certify: setup dev
	$(BIN)/python tools/certify.py $(ARGS)
	$(BIN)/python tools/certify_nodes.py
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow

certify-sample: setup dev
	$(BIN)/python tools/certify.py --sample 2
	$(BIN)/python tools/certify_nodes.py --sample 20

conformance: setup
	$(BIN)/gateway conformance --out docs/conformance.md

recognise: setup dev
	$(BIN)/python tools/recognise.py

mutants: setup dev
	$(BIN)/python tools/mutants.py $(ARGS)

SECONDS ?= 60
fuzz: setup dev
	$(BIN)/python tools/fuzz.py --seconds $(SECONDS) $(ARGS) $(TARGETS)

faces: setup dev
	$(BIN)/gateway doctor --install tensorflow >/dev/null
	$(BIN)/python tools/faces.py $(ARGS)

bench: setup
	$(BIN)/python -m bench $(ARGS)

# ARGS="torch trees" for some of them, ARGS=--upgrade for the newest versions; what is pinned stays otherwise.
pins: dev
	$(BIN)/python tools/pins.py $(ARGS)

protos: dev
	$(BIN)/python -m grpc_tools.protoc -I protos --include_imports \
	    --descriptor_set_out=gateway/protocols/generated/protos.binpb \
	    $$(cd protos && find . -name '*.proto' | sed 's#^\./##' | LC_ALL=C sort)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
