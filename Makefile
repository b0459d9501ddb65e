VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nexus_rl
LOWEST ?= $(CACHE)/venv-lowest
# What other versions of Gymnasium, Stable-Baselines3, NumPy and torch could break.
LOWEST_TESTS := tests/wrappers tests/models/test_masking.py \
	tests/agents/test_perception.py tests/test_environments.py

.PHONY: demo demo-images test test-lowest check bench clean

demo: $(VENV)/.installed  ## learn to perceive, then to act, then lose sensors
	$(BIN)/python scripts/pretrain_nexus.py --out runs/demo --overwrite
	$(BIN)/python scripts/evaluate_encoder.py --model runs/demo
	$(BIN)/python scripts/train_agent.py --encoder runs/demo --steps 60000 \
		--out runs/demo_nexus --overwrite
	$(BIN)/python scripts/train_agent.py --sees raw --steps 60000 \
		--out runs/demo_raw --overwrite
	$(BIN)/python scripts/evaluate_agent.py nexus=runs/demo_nexus raw=runs/demo_raw \
		--random --episodes 20 --conditions missing bernoulli bursts blackout \
		--out runs/demo_agents --overwrite
	$(BIN)/python scripts/watch_agent.py runs/demo_nexus --seed 1 \
		--conditions everything no_image no_sound --gif runs/demo.gif --overwrite

demo-images: $(VENV)/.installed  ## train on FashionMNIST, draw what the model imagines
	$(BIN)/python scripts/pretrain_nexus.py --dataset fashion_mnist --preset demo \
		--out runs/demo_images --overwrite

test: $(VENV)/.installed  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-lowest: $(LOWEST)/.installed  ## a part of it, on the lowest versions allowed
	PYTHONPATH=. $(LOWEST)/bin/python -m pytest -n 2 --dist worksteal \
		-W ignore::DeprecationWarning $(LOWEST_TESTS)

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

$(LOWEST)/.installed: pyproject.toml .ci/lowest.py
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .ci/lowest.py | \
		$(LOWEST)/bin/python -m pip install --quiet --requirement /dev/stdin
	touch $@
