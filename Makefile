VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo demo-sensors test check bench clean

demo: $(VENV)/.installed  ## train on FashionMNIST, draw what the model imagines
	$(BIN)/python scripts/pretrain_nexus.py --dataset fashion_mnist --preset demo \
		--out runs/demo --overwrite

demo-sensors: $(VENV)/.installed  ## simulate sensors, show what z_sigma knows of them
	$(BIN)/python scripts/pretrain_nexus.py --out runs/pendulum --overwrite
	$(BIN)/python scripts/evaluate_encoder.py --model runs/pendulum

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
