# Two commands, on a machine that has Python >= 3.11 with pip and venv, git and make:
#   make demo   run the gates against the embedded sandbox, leave a signed report
#   make test   lint, types, every test

PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # imports that are compiled anew are most of a start

.PHONY: demo test format clean

demo: .venv/.ready
	@$(BIN)/pytest --env demo

test: .venv/.ready
	@$(BIN)/tox run

format: .venv/.ready
	@$(BIN)/tox run -q -e format

clean:
	rm -rf .venv .tox build dist

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[sandbox,xdist]' tox
	@touch $@
