# `make` sets everything up from a bare python3 (3.11 or 3.12) and lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KEDRO := $(BIN)/kedro
UV_VERSION := 0.13.9
STAMP := $(VENV)/.installed
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.installed
AIRFLOW := .venv-airflow
AIRFLOW_STAMP := $(AIRFLOW)/.installed
DAGS ?= deploy/airflow/dags
# `docker build`, `podman build` or `buildah bud`; IMAGE_OPTIONS are for it: --build-arg BASE_IMAGE=..., --secret ...
IMAGE ?= localhost/driver_ranking:latest
IMAGE_BUILDER ?= docker build
IMAGE_OPTIONS ?=
COMPOSE ?= docker compose
COLUMNAR := packages/feast-columnar
ON_SPARK := */feast_columnar/spark/*
# `make test` runs the tests of the project and of the library side by side
TEST_JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup clients run prove promote test test-quick-project test-quick-columnar test-slow test-columnar lint format viz ui airflow airflow-env airflow-dags bench-batch bench-start bench-materialize bench-reader bench-online bench-serve-start bench-parity bench-image bench-spark image up task down sample lock clean

help: $(STAMP) ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make the virtual environment .venv with the pinned packages

$(STAMP): requirements.lock pyproject.toml $(COLUMNAR)/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo 'Python 3.11 or 3.12 is needed: make PYTHON=/path/to/python3.11'; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . --editable $(COLUMNAR)
	@touch $@

clients: $(CLIENTS_STAMP) ## make .venv-clients with other people's clients, which tests start

$(CLIENTS_STAMP): tests/protocol/requirements.lock $(STAMP)
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS) || { rm -rf $(CLIENTS); exit 1; }
	$(BIN)/uv pip install --quiet --python $(CLIENTS)/bin/python --no-deps -r tests/protocol/requirements.lock
	@touch $@

airflow-env: $(AIRFLOW_STAMP) ## make .venv-airflow with the pinned Airflow

$(AIRFLOW_STAMP): deploy/airflow/requirements.lock $(STAMP)
	@test -x $(AIRFLOW)/bin/python || $(PYTHON) -m venv $(AIRFLOW) || { rm -rf $(AIRFLOW); exit 1; }
	$(BIN)/uv pip install --quiet --python $(AIRFLOW)/bin/python --compile-bytecode --no-deps -r deploy/airflow/requirements.lock
	@touch $@

run: $(STAMP) ## train, materialize, score the sample request, plot, and print the result, and what a second model adds
	$(KEDRO) run --pipelines training
	KEDRO_LOGGING_CONFIG=conf/quiet_logging.yml $(KEDRO) run --pipelines training --env v2
	$(KEDRO) run --pipelines materialize
	$(KEDRO) run --pipelines batch
	$(KEDRO) run --pipelines reporting
	@# not by pandas.read_parquet: it hands pyarrow a file object, with which a process may abort at its end (apache/arrow#34314)
	@$(BIN)/python -c "import pyarrow.parquet as pq; print(pq.read_table('data/07_model_output/batch_output.parquet').to_pandas().to_string())"
	@$(BIN)/python -c "import json; print(json.load(open('data/08_reporting/v2/champion_comparison.json'))['summary'])"

promote: $(STAMP) ## make the challenger of `kedro run --env v2` the champion
	@$(BIN)/python -c "import os, mlflow; c = mlflow.MlflowClient(os.environ.get('MLFLOW_TRACKING_URI') or 'sqlite:///data/06_models/mlflow/mlflow.db'); c.set_registered_model_alias('driver_ranking', 'champion', c.get_model_version_by_alias('driver_ranking', 'challenger').version)"

test: $(STAMP) $(CLIENTS_STAMP) ## run the tests but the slow ones; the core must be covered completely, by branch
	rm -f .coverage.quick.*
	@$(MAKE) --no-print-directory --output-sync=$(if $(filter 1,$(TEST_JOBS)),none,target) --jobs=$(TEST_JOBS) test-quick-project test-quick-columnar
	$(BIN)/coverage combine --quiet .coverage.quick.*
	$(BIN)/coverage report --include='*/ranking.py,*/driver_ranking/features.py,*/model*.py,*/feature_store/*,*/feast_columnar/*' --omit='$(ON_SPARK)' --fail-under=100

test-quick-project:
	COVERAGE_FILE=.coverage.quick.project $(BIN)/pytest -m 'not slow' --cov --cov-report= tests

test-quick-columnar:
	COVERAGE_FILE=.coverage.quick.columnar $(BIN)/pytest -c pyproject.toml -m 'not slow' --cov=feast_columnar --cov-report= $(COLUMNAR)/tests

test-slow: $(STAMP) $(CLIENTS_STAMP) $(AIRFLOW_STAMP) ## run the slow tests; what runs on Spark alone must be covered completely
	$(BIN)/pytest -m slow --cov --cov-report=
	$(BIN)/coverage report --include='$(ON_SPARK)' --fail-under=100

test-columnar: $(STAMP) ## run the tests of feast-columnar alone, the slow ones too; it must be covered completely, by branch
	cd $(COLUMNAR) && $(CURDIR)/$(BIN)/pytest --cov --cov-report= && $(CURDIR)/$(BIN)/coverage report --fail-under=100

lint: $(STAMP) ## check style, types, the direction of imports and the repository's own files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/repo-review .
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml

format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

trained: $(STAMP)
	@test -n "$$MLFLOW_TRACKING_URI" -o \
		-e data/06_models/registered_model_version.json -a -e data/06_models/mlflow/mlflow.db || \
		$(KEDRO) run --pipelines training

serve: trained ## serve the champion on 127.0.0.1: REST 8172, gRPC 8173, metrics 8174; trains and materializes at first
	@test -e data/04_feature/materialization.json -a \
		\( -n "$$FEAST_FS_YAML_FILE_PATH" -o -e data/04_feature/registry.db -a -e data/04_feature/online_store.db \) || \
		$(KEDRO) run --pipelines materialize
	$(BIN)/mlserver start .

serve-redis: trained ## likewise with a real Redis: the one at REDIS_ADDRESS, else one that is started for it
	$(BIN)/python deploy/local/serve_redis.py

prove: trained ## serve the sample, ask 1,000 requests, compare the answers with the feature store, and replay one
	$(BIN)/python deploy/local/prove.py

image: ## build the image; IMAGE_BUILDER, IMAGE_OPTIONS and IMAGE may be given
	$(IMAGE_BUILDER) $(IMAGE_OPTIONS) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
		--tag $(IMAGE) --file deploy/Dockerfile .

up: deploy/.env ## start Redis, MLflow, the service, Prometheus and Grafana; deploy/.env has the passwords
	DRIVER_RANKING_IMAGE=$(IMAGE) $(COMPOSE) --file deploy/compose.yaml up --detach

task: deploy/.env ## run a command in the image beside them: RUN="kedro run --pipelines training"
	DRIVER_RANKING_IMAGE=$(IMAGE) $(COMPOSE) --file deploy/compose.yaml run --rm task $(RUN)

down: ## end what `make up` has started; the volumes stay
	DRIVER_RANKING_IMAGE=$(IMAGE) $(COMPOSE) --file deploy/compose.yaml down

deploy/.env:
	@echo 'deploy/.env is missing: copy deploy/.env.example to it and set the passwords.'; exit 1

viz: $(STAMP) ## open the project in kedro viz
	$(KEDRO) viz run --host 127.0.0.1

ui: $(STAMP) ## open the registered models in MLflow
	@mkdir -p data/06_models/mlflow
	DO_NOT_TRACK=true $(BIN)/mlflow ui --host 127.0.0.1 \
		--backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///data/06_models/mlflow/mlflow.db}

airflow-dags: $(STAMP) ## make the Airflow DAGs of the pipelines anew, from conf/*/airflow.yml
	$(BIN)/python deploy/airflow/generate.py --target $(DAGS)

airflow: $(AIRFLOW_STAMP) ## start Airflow on 127.0.0.1:8080 with the DAGs; says where to log in
	@exec $(AIRFLOW)/bin/python deploy/airflow/start.py

bench-batch: $(STAMP) ## measure extraction and scoring against their baselines (takes long, needs 4 GB of disk)
	$(BIN)/python benchmarks/bench_batch.py

bench-start: $(STAMP) ## measure a batch run on the sample against the import of its libraries
	$(BIN)/python benchmarks/bench_start.py

bench-materialize: $(STAMP) ## measure materialization against Feast's stock call
	$(BIN)/python benchmarks/bench_materialize.py

bench-reader: $(STAMP) ## measure the read of a feature service against Feast's get_online_features
	$(BIN)/python benchmarks/bench_reader.py

bench-online: $(STAMP) ## measure the server against a plain and a no-op MLServer (35 minutes; wrk is used if installed)
	$(BIN)/python benchmarks/bench_online.py
	$(BIN)/python benchmarks/bench_online.py --load texts

bench-serve-start: $(STAMP) ## measure the time until the server is ready against a bare MLServer and the imports
	$(BIN)/python benchmarks/bench_serve_start.py

bench-parity: $(STAMP) ## measure the comparison of a prediction log with the feature store (takes half an hour, 5 GB of disk)
	$(BIN)/python benchmarks/bench_parity.py

bench-image: $(STAMP) ## measure the image's size and start against the bare environment's (root, buildah, debootstrap)
	$(BIN)/python benchmarks/bench_image.py

bench-spark: $(STAMP) ## measure the batch run on Spark against the local one and Feast's own Spark store (needs Java)
	$(BIN)/python benchmarks/bench_spark.py

sample: $(STAMP) ## write the committed sample data anew
	$(BIN)/python -m driver_ranking.sample_data data/01_raw

lock: $(STAMP) ## pin the newest packages that pyproject.toml and the other environments' files admit
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --upgrade \
		--no-emit-package feast-columnar --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra serving --constraint requirements.lock --universal --python-version 3.11 \
		--no-emit-package feast-columnar --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--output-file requirements-image.lock
	$(BIN)/uv pip compile tests/protocol/requirements.in --universal --python-version 3.11 --upgrade --quiet \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file tests/protocol/requirements.lock
	$(BIN)/uv --no-config pip compile deploy/airflow/requirements.in --universal --python-version 3.11 --upgrade --quiet \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file deploy/airflow/requirements.lock

clean: ## remove what runs have made, and the virtual environments
	rm -rf $(VENV) $(CLIENTS) $(AIRFLOW) .airflow data/0[2-8]_* .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .viz build
