VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo demo-images test check bench clean

demo: $(VENV)/.installed  ## simulate sensors, show what z_sigma knows without one
	$(BIN)/python scripts/pretrain_nexus.py --out runs/demo --overwrite
	$(BIN)/python scripts/evaluate_encoder.py --model runs/demo

demo-images: $(VENV)/.installed  ## train on FashionMNIST, draw what the model imagines
	$(BIN)/python scripts/pretrain_nexus.py --dataset fashion_mnist --preset demo \
		--out runs/demo_images --overwrite

test: $(VENV)/.installed  ## the whole test suite
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.installed  ## style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## speed and memory on this machine
	$(BIN)/python scripts/benchmark.py --out runs/benchmark.json

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
