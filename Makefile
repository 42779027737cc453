# make demo, make test: each makes its own virtual environment and needs Python >= 3.11, make and git.
#   QT=pyqt5 (default), pyqt6 or pyside6 chooses the Qt binding of the demo, BINDINGS="pyqt5 pyqt6" those of the
#   viewer tests; JOBS=N, how many tests run at once.
SHELL := /bin/bash
PYTHON ?= python3
QT ?= pyqt5
BINDINGS ?= pyqt5 pyqt6
VENV ?= .venv
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMPS := $(VENV)/.stamps
# Whether .ci/with-screen takes a virtual screen: macOS and Windows have one that no variable names.
VIRTUAL := $(and $(filter Linux,$(shell uname)),$(if $(CI),yes,$(if $(DISPLAY)$(WAYLAND_DISPLAY),,yes)))

.PHONY: demo test lint tests gui gpu pictures clean

demo: $(STAMPS)/$(QT) $(STAMPS)/system
	@QT_API=$(QT) .ci/with-screen $(BIN)/papernets demo $(if $(VIRTUAL),--output demo-output)

test: lint tests gui

lint: $(STAMPS)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Plugins of pytest that come along with other packages cost each process up to eight seconds: only ours load.
PYTEST := PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(BIN)/python -m pytest -p pytest_timeout

tests: $(STAMPS)/test
	$(PYTEST) -p xdist.plugin -p _hypothesis_pytestplugin --numprocesses $(JOBS) --dist loadfile --ignore tests/widgets

# Where there is a GPU; the other tests leave it alone.
gpu: $(STAMPS)/test
	$(PYTEST) -m gpu --ignore tests/widgets

# Viewer tests have processes of their own, one for each binding and file: torch must stay out of them,
# and what Qt still has to delete after one file must not fall into the next.
VIEWER_RUNS := $(foreach binding,$(BINDINGS),$(patsubst tests/widgets/%.py,gui/$(binding)/%,$(wildcard tests/widgets/test_*.py)))

gui: $(STAMPS)/test $(STAMPS)/system
	$(MAKE) --jobs=$(JOBS) $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(VIEWER_RUNS)

.PHONY: $(VIEWER_RUNS)
$(VIEWER_RUNS): gui/%:
	QT_API=$(*D) PYTEST_QT_API=$(*D) .ci/with-screen env \
	  $(PYTEST) -p pytestqt.plugin -p napari.utils._testsupport -q tests/widgets/$(*F).py

# The screenshots of docs/, made by playing the tutorials; those of the panel ViT need WEIGHTS=FILE, which
# are DINOv2-Small's.
pictures: $(STAMPS)/test $(STAMPS)/system
	for page in unet annotate moco crf $(if $(WEIGHTS),vit); do \
	  home=$$(mktemp -d); XDG_DATA_HOME=$$home XDG_CONFIG_HOME=$$home XDG_CACHE_HOME=$$home QT_API=$(QT) CI=1 \
	    .ci/with-screen $(BIN)/python docs/pictures/$$page.py $(WEIGHTS) || exit 1; rm -r $$home; \
	done

# One environment, two completeness levels; torch comes first because it is the large one.
$(STAMPS)/base: setup.cfg pyproject.toml
	.ci/environment "$(PYTHON)" $(VENV) $(BIN)
	$(BIN)/python -m pip install --quiet torch torchvision
	$(BIN)/python -m pip install --quiet --editable .
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/pyqt5 $(STAMPS)/pyqt6 $(STAMPS)/pyside6: $(STAMPS)/base
	$(BIN)/python -m pip install --quiet --editable ".[$(@F)]"
	touch $@

$(STAMPS)/test: $(addprefix $(STAMPS)/,$(BINDINGS))
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	$(BIN)/python -m pip install --quiet "pydensecrf2>=1.1" || echo "No C++ compiler: the tests beside pydensecrf are skipped."
	touch $@

$(STAMPS)/system: | $(STAMPS)/base
	.ci/system-libraries
	touch $@

clean:
	rm -rf $(VENV) build dist demo-output *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
