"""The DAG of pipeline parity. Made by `make airflow-dags` from airflow.yml: what is edited here is lost."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # Airflow need not look for modules in the folder that this file is in

from driver_ranking_airflow.dag import KedroTask, create_dag

dag = create_dag(
    package="driver_ranking",
    pipeline="parity",
    env="local",
    conf_source="",
    tasks=(
        KedroTask("compare", "nodes", []),
        KedroTask("plot_causes", "nodes", ["compare"]),
        KedroTask("plot_decisions", "nodes", ["compare"]),
        KedroTask("plot_freshness", "nodes", ["compare"]),
        KedroTask("track_parity", "nodes", ["compare", "plot_causes", "plot_decisions", "plot_freshness"]),
        KedroTask("require_parity", "nodes", ["compare", "track_parity"]),
    ),
    settings={
        "owner": "driver_ranking",
        "description": ("Compares what was answered online with the feature store, the model and the rules"),
        "schedule": "0 7 * * *",
        "start_date": [2026, 6, 1],
        "pool": "default_pool",
        "tags": ["driver_ranking", "parity"],
        "retries": 2,
        "retry_delay_seconds": 60,
        "max_retry_delay_seconds": 900,
        "task_timeout_minutes": 60,
        "run_timeout_minutes": 180,
        "parameters": ["since", "until", "sample", "model_version", "parity"],
        "path_parameters": [],
        "allowed_places": ["data"],
        "output": "data/08_reporting/{run_date}/parity.json",
    },
)
