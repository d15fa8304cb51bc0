# make serve and make test are all that a fresh machine with Python 3.11+ needs; neither needs root, a GPU or Docker.
PYTHON ?= python3
VENV ?= .venv
DATA ?= photos
RUN = $(VENV)/bin/python

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help serve test test-docker test-browser test-fresh audit soak check lock train evaluate references pointing clean

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve  ## serve the shipped networks on port 8000
	$(RUN) -m app

test: $(VENV)/.dev  ## run the tests that need neither root, Docker nor a browser
	$(RUN) -m pytest -m "not docker and not browser and not fresh and not soak"

test-docker: $(VENV)/.dev  ## build the image, start it with compose, send it a photo
	$(RUN) -m pytest -m docker

test-browser: $(VENV)/.dev  ## use Swagger UI in Debian's Chromium, with no other host in reach
	$(RUN) -m pytest -m browser

test-fresh: $(VENV)/.dev  ## clone the repository and serve from the clone, as a stranger would
	$(RUN) -m pytest -m fresh

audit:  ## look the pinned packages up in PyPI's list of known vulnerabilities
	$(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --disable-pip --require-hashes -r requirements/serve.txt

soak: $(VENV)/.dev  ## attack and load the service for an hour and a half; keeps the figures of docs/reliability.md
	-$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(RUN) -m pytest -m soak

check: $(VENV)/.dev  ## lint, formatting and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

lock: $(VENV)/.dev  ## pin the newest versions that fit pyproject.toml
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements/serve.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --extra train -c requirements/serve.txt -o requirements/train.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --all-extras -c requirements/train.txt -o requirements/dev.txt
	$(RUN) -m uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml requirements/ray.in -c requirements/serve.txt -o requirements/ray.txt

train: $(VENV)/.dev  ## train and export all networks on the photos in DATA/train
	for network in dense tutorial cat; do \
	  $(RUN) -m training.train --network $$network --data $(DATA)/train --out model/$$network --resume && \
	  $(RUN) -m training.export model/$$network --data $(DATA)/train || exit 1; \
	done

SETS = $(foreach set,val-pets val-breeds val-objects val-wild catvnoncat-test,--set $(set)=$(DATA)/$(set))

evaluate: $(VENV)/.dev  ## measure all networks on the validation sets in DATA
	$(RUN) -m training.evaluate model/cat model/tutorial model/dense --pool val-pets,val-breeds,val-objects $(SETS)

references: $(VENV)/.dev  ## measure what others could have used instead, on the same sets
	$(RUN) -m training.references $(SETS) --out benchmarks/references.json

pointing: $(VENV)/.dev  ## measure whether the heatmap's peak lies on the cat
	$(RUN) -m training.pointing model/cat --cats $(DATA)/val-pets --scenes $(DATA)/val-objects --out benchmarks/pointing.json

clean:  ## remove what was installed and cached
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache

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
