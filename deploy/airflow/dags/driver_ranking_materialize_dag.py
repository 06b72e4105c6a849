"""The DAG of pipeline materialize. Made by `make airflow-dags` from airflow.yml: what is edited here is lost."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # Airflow need not look for modules in the folder that this file is in

from driver_ranking_airflow.dag import KedroTask, create_dag

dag = create_dag(
    package="driver_ranking",
    pipeline="materialize",
    env="local",
    conf_source="",
    tasks=(
        KedroTask("update_feature_store", "nodes", []),
        KedroTask("materialize", "nodes", ["update_feature_store"]),
    ),
    settings={
        "owner": "driver_ranking",
        "description": "Brings features from the offline store to the online store",
        "schedule": "0 5 * * *",
        "start_date": [2026, 6, 1],
        "pool": "default_pool",
        "tags": ["driver_ranking", "features"],
        "retries": 2,
        "retry_delay_seconds": 60,
        "max_retry_delay_seconds": 900,
        "task_timeout_minutes": 60,
        "run_timeout_minutes": 180,
        "parameters": ["start", "end"],
        "path_parameters": [],
        "allowed_places": ["data"],
        "output": "data/04_feature/{run_date}/materialization.json",
    },
)
