# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
SOURCES := pyproject.toml README.md LICENSE $(shell find fmae_edge js -type f -not -path '*/__pycache__/*' -not -path '*/node_modules/*')
DEMO := .venv/demo
DEV := .venv/dev
JS := js/node_modules
# The JavaScript is tested where npm is, from Node 20.16 on
NPM := $(shell node -e 'process.exit(process.getBuiltinModule ? 0 : 1)' 2>/dev/null && command -v npm)
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: demo test slow platforms cpus docs installs ray spark openvino lint data fuzz clean

# Compress and decompress the samples with the installed wheel: no PyTorch, no data set.
demo: $(DEMO)/installed
	rm -rf demo
	mkdir demo
	$(DEMO)/bin/fmae-edge compress samples/*.png -o 'demo/{stem}.fmae'
	$(DEMO)/bin/fmae-edge decompress demo/*.fmae -o demo
	$(DEMO)/bin/fmae-edge compare samples/*.png -o demo/comparison.png

test: $(DEV)/installed $(if $(NPM),$(JS)/installed)
	$(DEV)/bin/python -m pytest -n 2 --dist loadfile
	$(if $(NPM),cd js && npm test --silent,@echo "Node 20.16 or npm is missing: the JavaScript was not tested")

# The commands of the README, memory at a large scale, parity on all test images and other tests of many seconds.
slow: $(DEV)/installed
	$(DEV)/bin/python -m pytest -m slow -n 2

# The runtime on ARM64 and on s390x, and on the oldest and the newest Python: two minutes. It needs root on Debian, and
# the packages mmdebstrap and qemu-user-static. PLATFORM_ROOTS=~/.cache/fmae-edge keeps the root file systems.
PLATFORMS = $(DEV)/bin/python -m tests.platforms $(if $(PLATFORM_ROOTS),--roots $(PLATFORM_ROOTS))
platforms: $(DEV)/installed
	$(PLATFORMS) ci

# The table of docs/platforms.md: every CPU that QEMU emulates and Debian supports: ten minutes.
cpus: $(DEV)/installed
	$(PLATFORMS) cpus

# Run every command of the README and the tutorial in a copy of the repository: ten minutes, because one trains a model.
docs: $(DEV)/installed
	$(DEV)/bin/python -m pytest -m docs tests/test_docs.py

# The commands that need only the extra [evaluate], in a new environment with that extra alone: three minutes.
installs: $(DEV)/installed
	$(DEV)/bin/python -m pytest -m installs tests/test_evaluate_extra.py

# Bulk jobs on a Ray cluster of several nodes on this machine: a minute.
ray: .venv/ray/installed
	.venv/ray/bin/python -m pytest -m ray tests/bulk/test_ray.py

# Bulk jobs on Spark: two minutes. It needs Java 17, in Debian default-jre-headless.
spark: .venv/spark/installed
	.venv/spark/bin/python -m pytest -m spark tests/bulk/test_spark.py

# The float32 graphs on OpenVINO, an execution provider of onnxruntime: a minute.
openvino: .venv/openvino/installed
	.venv/openvino/bin/python -m pytest -m openvino tests/runtime/test_openvino.py

lint: $(DEV)/installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/mypy --strict examples

# Feed changed files to every reader; FUZZ_SECONDS=3600 takes longer. Failing inputs are saved in runs/fuzz.
FUZZ_SECONDS ?= 60
fuzz: $(DEV)/installed $(if $(NPM),$(JS)/installed)
	$(DEV)/bin/python -m fuzz --seconds $(FUZZ_SECONDS)
	$(if $(NPM),cd js && npm run --silent fuzz)

# Fashion-MNIST: Debian's package where that can be installed, else torchvision's download.
data: $(DEV)/installed
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ ! -d /usr/share/datasets/fashion-mnist ]; then \
		apt-get update -qq && apt-get install -qq -y dataset-fashion-mnist; fi
	$(DEV)/bin/python -m fmae_edge.data.fashion_mnist

$(DEMO)/installed: $(SOURCES)
	$(PYTHON) -m venv --clear $(DEMO)
	$(DEMO)/bin/python -m pip install $(PIP_FLAGS) ".[cli]"
	touch $@

$(DEV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(DEV)
	$(DEV)/bin/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv/ray/installed .venv/spark/installed: .venv/%/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv/$*
	.venv/$*/bin/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[$*]" pytest
	touch $@

# onnxruntime and onnxruntime-openvino overwrite each other, so there is no extra for it.
.venv/openvino/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv/openvino
	.venv/openvino/bin/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[cli]" pytest
	.venv/openvino/bin/python -m pip uninstall --quiet --yes onnxruntime
	.venv/openvino/bin/python -m pip install $(PIP_FLAGS) onnxruntime-openvino
	touch $@

$(JS)/installed: js/package.json js/package-lock.json
	cd js && npm ci --silent --no-audit --no-fund
	touch $@

clean:
	rm -rf .venv demo $(JS)
