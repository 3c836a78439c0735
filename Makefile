# Every target sets up .venv by itself; all of it works on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo serve test test-slow faults soak lint bench bench-reports bench-again bench-growth bench-imports
.PHONY: bench-video bench-wait samples video-samples lock clean
.DEFAULT_GOAL := demo

$(VENV)/.service: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.test: $(VENV)/.service requirements-test.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	touch $@

demo: $(VENV)/.service ## import sample sales, run a report, show the result
	$(BIN)/haulier demo

serve: $(VENV)/.service ## the embedded service on http://127.0.0.1:8480
	$(BIN)/haulier serve

test: $(VENV)/.test lint ## lint, types, all tests but the slow ones
	$(BIN)/pytest

test-slow: $(VENV)/.test ## the rows that take minutes
	$(BIN)/pytest -m "slow and not faults"

faults: $(VENV)/.test ## the whole fault matrix, row by row
	$(BIN)/pytest tests/faults -m "slow or not slow"

MINUTES ?= 10
SEED ?= 1
soak: $(VENV)/.test ## ten minutes of random kills on each database
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --seed $(SEED) --database sqlite
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --seed $(SEED) --database postgresql

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test ## ratios measured side by side; takes some minutes
	$(BIN)/python tests/benchmarks/run.py

ROWS ?= 1e7
bench-reports: $(VENV)/.test ## the report questions beside DuckDB, Polars, dask.dataframe and pandas
	$(BIN)/python tests/benchmarks/bench_reports.py --rows $(ROWS)

bench-again: $(VENV)/.test ## what an equal, a coarser and a question after an append cost
	$(BIN)/python tests/benchmarks/second_time.py --rows $(ROWS)

bench-growth: $(VENV)/.test ## reports of 1 to 100 million rows, and of 20 million groups
	$(BIN)/python tests/benchmarks/growth.py

bench-imports: $(VENV)/.test ## a CSV of 5 million rows into a dataset, beside DuckDB, Polars and pandas
	$(BIN)/python tests/benchmarks/import_speed.py

bench-wait: $(VENV)/.test ## errors of ETAs, 200 clients that wait, a million jobs in the table; half an hour
	$(BIN)/python tests/benchmarks/wait_eta.py
	$(BIN)/python tests/benchmarks/wait_crowd.py
	$(BIN)/python tests/benchmarks/wait_table.py

samples: $(VENV)/.test ## import every real sample file in ../shared, print expected, got, verdict
	$(BIN)/python tests/samples/run.py

video-samples: $(VENV)/.test ## every real video in ../shared through transcode, thumbnail, probe: expected, got, verdict
	$(BIN)/python tests/samples/video.py

bench-video: $(VENV)/.test ## chunked beside single beside bare ffmpeg, the overhead of a job, one worker beside two
	$(BIN)/python tests/benchmarks/bench_video.py

lock: ## pin every dependency with hashes, for all platforms and Pythons
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra service --extra video --universal --generate-hashes --no-header -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra service --extra video --extra test --universal --generate-hashes --no-header -q -o requirements-test.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
