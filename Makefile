# make install     make .venv, with the command study
# make reproduce   install, run the default suite on built-in data, end with runs/report/index.html
# make test        install, lint, type-check, test
# make docs        install, build the site of the documents into site/
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: install reproduce test test-all lint docs
install: $(INSTALLED)

reproduce: $(INSTALLED)
	$(BIN)/study reproduce

# Two processes of one thread each: most of the time is Python's.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -p no:cacheprovider --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-all: lint
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Byte code is made here, for the few files that are used, and not by pip for all: where the environment forbids to write any later,
# as images of containers do, each start would take 8 seconds longer.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[docs,test]'
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import lightning, tensorboard.program, torch.utils.tensorboard; \
		import study.forecast.command, study.running.training, study.report.page"
	touch $(INSTALLED)
