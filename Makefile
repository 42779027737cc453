# make demo, make test: each makes its own virtual environment and needs Python >= 3.11, make and git.
#   QT=pyqt5 (default), pyqt6 or pyside6 chooses the Qt binding of the demo.
SHELL := /bin/bash
PYTHON ?= python3
QT ?= pyqt5
VENV ?= .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

.PHONY: demo test lint tests gui pictures clean

demo: $(STAMPS)/demo-$(QT) $(STAMPS)/system
	@QT_API=$(QT) .ci/with-screen $(BIN)/papernets demo $(if $(DISPLAY)$(WAYLAND_DISPLAY),,--output demo-output)

test: lint tests gui

lint: $(STAMPS)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests: $(STAMPS)/test
	$(BIN)/python -m pytest --ignore tests/widgets -p no:napari -p no:pytest-qt

# Viewer tests have processes of their own, one for each file and binding: torch must stay out of them,
# and what Qt still has to delete after one file must not fall into the next.
gui: $(STAMPS)/test $(STAMPS)/system
	for binding in pyqt5 pyqt6; do for file in tests/widgets/test_*.py; do \
	  QT_API=$$binding PYTEST_QT_API=$$binding .ci/with-screen $(BIN)/python -m pytest -q $$file || exit 1; \
	done; done

# The screenshots of docs/, made by playing the tutorials; those of the panel ViT need WEIGHTS=FILE, which
# are DINOv2-Small's.
pictures: $(STAMPS)/test $(STAMPS)/system
	for page in annotate crf $(if $(WEIGHTS),vit); do \
	  home=$$(mktemp -d); XDG_DATA_HOME=$$home XDG_CONFIG_HOME=$$home XDG_CACHE_HOME=$$home QT_API=$(QT) CI=1 \
	    .ci/with-screen $(BIN)/python docs/pictures/$$page.py $(WEIGHTS) || exit 1; rm -r $$home; \
	done

# One environment, two completeness levels; torch comes first because it is the large one.
$(STAMPS)/base: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed: make PYTHON=python3.11"; exit 1; }
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --editable .
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/demo-$(QT): $(STAMPS)/base
	$(BIN)/python -m pip install --quiet --editable ".[$(QT)]"
	touch $@

$(STAMPS)/test: $(STAMPS)/base
	$(BIN)/python -m pip install --quiet --editable ".[pyqt5,pyqt6,test]"
	$(BIN)/python -m pip install --quiet "pydensecrf2>=1.1" || echo "No C++ compiler: the tests beside pydensecrf are skipped."
	touch $@

$(STAMPS)/system: | $(STAMPS)/base
	.ci/system-libraries
	touch $@

clean:
	rm -rf $(VENV) build dist demo-output *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
