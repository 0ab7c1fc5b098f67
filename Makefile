PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# A process for each core, on one thread; the tests of a file stay together, for they share what is made once.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile

.PHONY: demo test slow lint clean

# One environment for all targets; made anew when pyproject.toml changes.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet "torch==2.14.1" "torchvision==0.29.1"
	$(RUN) -m pip install --quiet -e ".[demo,test]"
	touch $@

demo: $(VENV)/installed
	$(RUN) -m sensorium.cli demo

test: $(VENV)/installed
	$(PYTEST)

slow: $(VENV)/installed
	$(PYTEST) -m slow

lint: $(VENV)/installed
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache
