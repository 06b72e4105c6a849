"""Feast in columns: point-in-time joins, materialization and online reads that hold arrays instead of rows."""
