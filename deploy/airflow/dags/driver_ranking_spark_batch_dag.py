"""The DAG of pipeline batch. Made by `make airflow-dags` from airflow.yml: what is edited here is lost."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # Airflow need not look for modules in the folder that this file is in

from driver_ranking_airflow.dag import KedroTask, create_dag

dag = create_dag(
    package="driver_ranking",
    pipeline="batch",
    env="spark",
    conf_source="",
    tasks=(
        KedroTask("update_feature_store", "nodes", []),
        KedroTask("extract_features", "nodes", ["update_feature_store"]),
        KedroTask("predict", "nodes", ["extract_features"]),
    ),
    settings={
        "owner": "driver_ranking",
        "description": "Scores the drivers of the request with the champion, on Spark",
        "schedule": None,
        "start_date": [2026, 6, 1],
        "pool": "default_pool",
        "tags": ["driver_ranking", "scoring"],
        "retries": 2,
        "retry_delay_seconds": 60,
        "max_retry_delay_seconds": 900,
        "task_timeout_minutes": 60,
        "run_timeout_minutes": 180,
        "parameters": ["batch_request", "model_version", "best_rows_logged", "as_known_at"],
        "path_parameters": ["batch_request"],
        "allowed_places": ["data"],
        "output": "data/07_model_output/{run_date}/batch_output",
    },
)
