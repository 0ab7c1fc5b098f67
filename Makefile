PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# A process for each core, on one thread; the tests of a file stay together, for they share what is made once.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile

.NOTPARALLEL:
.PHONY: demo about-demo test slow lint docs clean

# One environment for all targets, into which each installs the extras that it needs; again when pyproject.toml changes.
$(VENV)/%.installed: pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install "torch==2.14.1" "torchvision==0.29.1"
	$(RUN) -m pip install -e ".[$*]"
	touch $@

demo: about-demo $(VENV)/demo.installed
	@echo "The demo begins."
	$(RUN) -m sensorium.cli demo
	@echo "The environment is $(VENV). To go on, type:"
	@sed -n '/<!-- start -->/,/<!-- \/start -->/{/^\. /p; /^sensorium /p}' README.md

# How large and how long, as README.md has it from benchmarks/figures.py.
about-demo:
	@sed -n 's/^make demo *# /make demo: /p' README.md

test: $(VENV)/demo.installed $(VENV)/test.installed
	$(PYTEST)

slow: $(VENV)/demo.installed $(VENV)/test.installed
	$(PYTEST) -m slow

lint: $(VENV)/test.installed
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

# The pages of docs/ and the reference of the public names, as a site in site/.
docs: $(VENV)/docs.installed
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) runs site .pytest_cache .ruff_cache
