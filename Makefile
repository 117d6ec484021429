# Both commands that a newcomer needs, `make figures` and `make test`, set up .venv themselves. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup figures test test-slow lint unit notebooks-test notebooks benchmark lab mutants lock

help:  ## List the commands
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1	\2/p' Makefile | expand -t 20

setup: .venv/ready  ## Install the locked requirements and the package into .venv

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("Python 3.10 to 3.13 is needed, and $(PYTHON) is %d.%d: run make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

figures: setup  ## Train the default network on MNIST, and write the figures and the model to figures/
	$(BIN)/python -m vae_keras figures

test: lint unit notebooks-test  ## Lint, run the unit tests on TensorFlow and on JAX, and validate the notebooks

test-slow: setup  ## Run the tests that take long, and twenty times as many examples of each property
	$(BIN)/python -m pytest -n 2 -m slow
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=slow tests/test_properties.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: setup
	$(BIN)/python -m pytest -n 2 --ignore=tests/test_notebooks.py
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 tests/test_theory.py tests/test_layers.py tests/test_networks.py tests/test_model.py tests/test_sampling.py tests/test_evaluation.py tests/test_data.py tests/test_files.py tests/test_plots.py

notebooks-test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/test_notebooks.py

notebooks: setup  ## Execute all notebooks again, in place
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.coalesce_streams=True --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.store_widget_state=False \
	  --ExecutePreprocessor.extra_arguments="['--IPKernelApp.capture_fd_output=False']" notebooks/*.ipynb

benchmark: setup  ## Measure speed side by side, and write benchmarks/RESULTS.md (PyTorch is an optional extra)
	$(BIN)/python benchmarks/benchmark.py

lab: setup  ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

mutants: setup  ## Plant each bug of tests/mutants/ in a copy, and see that a test finds it
	$(BIN)/python tests/run_mutants.py

lock:  ## Lock the newest versions that requirements.txt allows (needs uv)
	uv pip compile requirements.txt --universal --python-version 3.10 --generate-hashes --no-header --quiet -o requirements.lock
