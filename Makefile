# `make help` lists the targets. Each one sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Warnings are errors. Notebooks run anew where a number could be another (book/extensions/fresh_pages.py).
BOOK := $(BIN)/jupyter-book build . -W -n --keep-going
SITE := $(CURDIR)/_build/html
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

# The book and the tests read the committed results, whatever the shell says; `reproduce` and `lab` name others.
unexport VGG_RESULTS

.DEFAULT_GOAL := help
.PHONY: help setup reproduce lint test book pdf lab clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 20

setup: $(INSTALLED)  ## Make .venv with every pinned package (once)

$(INSTALLED): requirements.lock pyproject.toml
	@echo "Making $(VENV) with $$($(PYTHON) --version): about 3 GB of packages, mostly PyTorch."
	$(PYTHON) -m venv $(VENV)
	@# A recent pip unpacks so much faster that upgrading it first pays.
	$(PIP) install --quiet --upgrade pip
	@# The lock file is complete: nothing to resolve (--no-deps), and modules compile when first imported.
	$(PIP) install --no-deps --no-compile -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

reproduce: setup  ## Train and evaluate every net of the demo, then build the book from these results
	@mkdir -p reproduced
	@for folder in results/*/; do \
		name=$$(basename $$folder); \
		case $$name in demo|paper) continue ;; esac; \
		[ -e reproduced/$$name ] || cp -R $$folder reproduced/$$name; \
	done
	$(BIN)/vgg run --preset demo --table all --results reproduced
	VGG_RESULTS="$(CURDIR)/reproduced" $(BOOK) --path-output reproduced
	@echo "The book with your results: $(CURDIR)/reproduced/_build/html/index.html"
	@echo "The notebooks with them: make lab VGG_RESULTS=reproduced"

lint: setup  ## Check style, and that imports go one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

test: lint book  ## Check style, build the book and run the tests, which look at it
	@# All tests of a file run in one process, since they share what is slow to make; files begin in conftest's order.
	@# A process takes about a gigabyte, hence no more than four.
	VGG_SITE="$(SITE)" $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

book: setup  ## Build the book from the committed results; any warning is an error
	@rm -rf "$(SITE)"  # pages that are no more would stay
	$(BOOK)
	@echo "The book: $(SITE)/index.html"

pdf: setup  ## Print the whole book to _build/book.pdf; needs Chromium or Chrome
	@test -n "$(CHROMIUM)" || { echo "No Chromium or Chrome is installed: install one, or name it with CHROMIUM=..." >&2; exit 1; }
	$(BOOK) --builder singlehtml
	@# Sphinx writes the one page below book/, with links as if it stood at the top.
	cp _build/singlehtml/book/intro.html _build/singlehtml/whole.html
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --no-pdf-header-footer --print-to-pdf=_build/book.pdf \
		"file://$(CURDIR)/_build/singlehtml/whole.html" 2>_build/chromium.log || { cat _build/chromium.log >&2; exit 1; }
	@echo "The book on paper: $(CURDIR)/_build/book.pdf"

lab: setup  ## Open the notebooks in JupyterLab, on the results in VGG_RESULTS where it is set
	VGG_RESULTS="$(abspath $(VGG_RESULTS))" $(BIN)/jupyter lab --notebook-dir "$(CURDIR)" notebooks/00_start_here.ipynb

clean:  ## Remove the built book, ./reproduced and caches; keep .venv
	rm -rf _build reproduced .pytest_cache .ruff_cache *.egg-info
	find vgglib tests book -name __pycache__ -type d -prune -exec rm -rf {} +
