# Two commands that do all their own set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# one thread a process: on few cores, two spinning thread pools are ten times slower than one
export OMP_NUM_THREADS ?= 1
STAMP = $(VENV)/installed
PEERS ?= .peers

.PHONY: demo test check peers clean

demo: $(STAMP)
	$(BIN)/python scripts/train_agent.py --algo ppo --encoder transformer

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell

# torch first and by pip: the tested build is named in constraints.txt, other builds (CUDA, ROCm) fit pyproject.toml too
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(STAMP)

# other projects' environments for `scripts/benchmark.py --against-peers`; they pin other versions than ours
peers: $(PEERS)/installed

$(PEERS)/installed: scripts/benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet -r scripts/benchmarks/peers.txt
	$(PEERS)/bin/pip install --quiet --no-deps gym-trading-env==0.3.5
	touch $(PEERS)/installed

clean:
	rm -rf $(VENV)
