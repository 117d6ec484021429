# Both commands that a newcomer needs, `make figures` and `make test`, set up .venv themselves. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin

# the site's own models; its tests take some that are trained for one epoch, and a folder beside it
SITE := site
MODELS := docs/_build/models
EPOCHS_64 := 9
EPOCHS_2 := 5
SMALL := SITE=docs/_build/small/site MODELS=docs/_build/small/models EPOCHS_64=1 EPOCHS_2=1

# on JAX, the files whose code meets the backend; weekly, all of the lesson
ON_JAX := $(addprefix tests/lesson/test_,batches.py fit.py layers.py model.py sampling.py theory.py) tests/test_gpu.py
# compiling takes longer than running what is compiled
JAX_QUICKLY := KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1

# with `make unit BIN=... UNIT_NEEDS=` the tests run in an environment that stands already, as `make test-lowest` has it
UNIT_NEEDS := .venv/site

.PHONY: help setup figures check test test-slow test-lowest lint unit notebooks-test notebooks benchmark lab mutants lock site site-test

help:  ## List the commands
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1	\2/p' Makefile | expand -t 20

setup: .venv/ready  ## Install the locked requirements and the package into .venv

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, and $(PYTHON) is %d.%d: run make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/site: requirements-site.lock .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-site.lock
	@touch $@

figures: setup  ## Train the default network on MNIST, and write the figures and the model to figures/
	$(BIN)/python -m vae_keras figures

# one thread a worker: several would wait for each other
check unit test-slow: export OMP_NUM_THREADS := 1
check unit test-slow: export TF_NUM_INTRAOP_THREADS := 1
check unit test-slow: export TF_NUM_INTEROP_THREADS := 1

check: lint  ## Lint, and run the tests of the lesson alone
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/lesson

test: lint unit notebooks-test site-test  ## Lint, run the unit tests on TensorFlow and on JAX, validate the notebooks, and test the site

test-slow: setup  ## Run the tests that take long, and twenty times as many examples of each property
	$(BIN)/python -m pytest -n 2 -m slow --ignore=tests/site
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 -m "slow or not slow" tests/lesson tests/test_gpu.py
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=slow tests/lesson/test_properties.py
	$(MAKE) site-test SITE_MARKS="-m slow"

test-lowest:  ## Run the unit tests on the lowest versions that the requirements allow, in .venv-lowest (needs uv)
	$(PYTHON) -m venv --clear .venv-lowest
	uv pip install --quiet --python .venv-lowest --resolution lowest-direct --only-binary :all: -r requirements.txt -r requirements-site.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(MAKE) unit BIN=.venv-lowest/bin UNIT_NEEDS=

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

unit: $(UNIT_NEEDS)
	$(BIN)/python -m pytest -n 2 --dist worksteal --ignore=tests/test_notebooks.py --ignore=tests/site
	$(JAX_QUICKLY) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not process" $(ON_JAX)

notebooks-test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/test_notebooks.py

notebooks: setup  ## Execute all notebooks again, in place
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --Exporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.store_widget_state=False \
	  --ExecutePreprocessor.extra_arguments="['--IPKernelApp.capture_fd_output=False']" notebooks/*.ipynb

benchmark: setup  ## Measure speed side by side, and write benchmarks/RESULTS.md (PyTorch is an optional extra)
	$(BIN)/python benchmarks/benchmark.py

lab: setup  ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

# npm is for the bugs of the live figures; without it they are left out, and the last line says so
mutants: .venv/site  ## Plant each bug of tests/mutants.toml in a copy, and see that a test finds it
	@if command -v npm >/dev/null; then $(MAKE) docs/node_modules/.package-lock.json; fi
	$(BIN)/python tests/run_mutants.py

site: .venv/site docs/node_modules/.package-lock.json $(MODELS)/vae.keras $(MODELS)/vae_2_latents.keras  ## Build the site into site/
	rm -rf $(SITE) docs/_build/source docs/_build/static docs/_build/extra docs/_build/html
	mkdir -p docs/_build/source/vae_keras docs/_build/static/mathjax/fonts/mathjax-newcm-font docs/_build/extra/explorer docs/_build/extra/notebooks
	cp -R notebooks figures benchmarks docs/live.md docs/explorer docs/guides docs/images LICENSE CITATION.cff Makefile .github docs/_build/source
	cp vae_keras/MNIST_NOTICE.md docs/_build/source/vae_keras
	cp README.md docs/_build/source/index.md
	cd docs/node_modules/mathjax && cp -R LICENSE tex-chtml.js a11y input sre ui ../../_build/static/mathjax
	cp -R docs/node_modules/@mathjax/mathjax-newcm-font/chtml* docs/_build/static/mathjax/fonts/mathjax-newcm-font
	mkdir -p docs/_build/static/live
	cp docs/live/* docs/node_modules/d3/dist/d3.min.js docs/_build/static/live
	cd docs/node_modules && tail -n +1 d3/LICENSE d3-*/LICENSE delaunator/LICENSE internmap/LICENSE robust-predicates/LICENSE > ../_build/static/live/d3.LICENSE
	cp docs/explorer/*.css docs/explorer/*.js docs/_build/extra/explorer
	cp notebooks/*.ipynb docs/_build/extra/notebooks
	$(BIN)/python docs/explorer_data.py $(MODELS) docs/_build/extra/explorer
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env -c docs -d docs/_build/doctrees docs/_build/source docs/_build/html
	mkdir -p $(dir $(SITE))
	mv docs/_build/html $(SITE)

docs/node_modules/.package-lock.json: docs/package-lock.json
	npm ci --prefix docs --ignore-scripts --no-audit --no-fund

# those of `make figures`, if it has run; else trained as it trains them, without writing its figures again
$(MODELS)/vae.keras: | .venv/ready
	@mkdir -p $(MODELS)
	@cp figures/vae.keras $@ 2>/dev/null || $(BIN)/python -m vae_keras train --epochs $(EPOCHS_64) --output $@

$(MODELS)/vae_2_latents.keras: | .venv/ready
	@mkdir -p $(MODELS)
	@cp figures/vae_2_latents.keras $@ 2>/dev/null || $(BIN)/python -m vae_keras train --latent-dim 2 --epochs $(EPOCHS_2) --output $@

# what is missing is an error where VAE_KERAS_NEED_SITE is set, as in .ci/run
site-test: .venv/site  ## Build the site and test it in a browser, where Node.js and Chromium are; say so where they are not
	@if command -v npm >/dev/null && command -v chromium >/dev/null; then \
	  $(MAKE) site $(SMALL) && $(SMALL) $(BIN)/python -m pytest -n 2 --dist worksteal $(SITE_MARKS) tests/site; \
	else echo "SKIPPED: the site and its tests, which need npm and chromium"; test -z "$$VAE_KERAS_NEED_SITE"; fi

lock:  ## Lock the newest versions that requirements.txt and requirements-site.txt allow (needs uv)
	uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements.lock
	uv pip compile requirements-site.txt --constraints requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements-site.lock
