PYTHON ?= python3
DIANNE = ../.venv/bin/dianne

.PHONY: demo test install clean

# Train a variational autoencoder on the digits that come with scikit-learn, and look at what it makes up.
demo: install
	mkdir -p demo
	cd demo && $(DIANNE) learn Encoder,Decoder Digits strategy=VariationalAutoEncoder tag=demo seed=1 clean=true maxIterations=3000
	cd demo && $(DIANNE) evaluate Encoder,Decoder Digits tag=demo
	cd demo && $(DIANNE) deploy Decoder tag=demo
	cd demo && $(DIANNE) forward Decoder random=16 seed=1 out=digits.png
	cd demo && ../.venv/bin/python ../examples/latent_space.py demo latent.png
	@echo
	@echo "Sixteen digits that the network made up:  $(CURDIR)/demo/digits.png"
	@echo "Where it keeps the digits it has seen:    $(CURDIR)/demo/latent.png"

# Check everything: style, types, the direction of imports, and all tests.
test: .venv/test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy engine strategies examples
	.venv/bin/lint-imports --verbose
	OMP_NUM_THREADS=1 .venv/bin/pytest -rs -n auto --dist worksteal

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable .
	touch $@

.venv/test: .venv/installed
	.venv/bin/pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv demo build *.egg-info engine/*.egg-info
