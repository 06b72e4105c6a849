"""What the generated DAGs are made of. It needs Airflow alone and lies beside them, wherever they are put."""
