PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

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
	$(RUN) -m pytest

slow: $(VENV)/installed
	$(RUN) -m pytest -m slow

lint: $(VENV)/installed
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache
