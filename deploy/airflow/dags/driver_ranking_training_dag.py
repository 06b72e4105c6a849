"""The DAG of pipeline training. Made by `make airflow-dags` from airflow.yml: what is edited here is lost."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # Airflow need not look for modules in the folder that this file is in

from driver_ranking_airflow.dag import KedroTask, create_dag

dag = create_dag(
    package="driver_ranking",
    pipeline="training",
    env="local",
    conf_source="",
    tasks=(
        KedroTask("update_feature_store", "nodes", []),
        KedroTask("extract_training_rows", "nodes", ["update_feature_store"]),
        KedroTask("split_rows", "nodes", ["extract_training_rows"]),
        KedroTask("fit_model", "nodes", ["split_rows"]),
        KedroTask("compare_with_champion", "nodes", ["fit_model", "split_rows", "update_feature_store"]),
        KedroTask("evaluate_model", "nodes", ["fit_model", "split_rows"]),
        KedroTask("plot_evaluation", "nodes", ["fit_model", "split_rows"]),
        KedroTask(
            "validate_model",
            "nodes",
            ["compare_with_champion", "evaluate_model", "fit_model", "plot_evaluation", "split_rows"],
        ),
    ),
    settings={
        "owner": "driver_ranking",
        "description": "Trains, evaluates and validates a model, and registers it if it is good enough",
        "schedule": "0 3 * * 1",
        "start_date": [2026, 6, 1],
        "pool": "default_pool",
        "tags": ["driver_ranking", "training"],
        "retries": 2,
        "retry_delay_seconds": 60,
        "max_retry_delay_seconds": 900,
        "task_timeout_minutes": 60,
        "run_timeout_minutes": 180,
        "parameters": ["training"],
        "path_parameters": [],
        "allowed_places": ["data"],
        "output": "data/08_reporting/{run_date}/evaluation_metrics.json",
    },
)
