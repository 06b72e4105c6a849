"""The offline store: point-in-time joins on DuckDB, in bounded memory."""
