"""What the dashboard and the alerts ask Prometheus, and which metrics that names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
_NOT_METRICS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|without|on|ignoring)\s*\([^)]*\)|\[[^]]*\]|\"[^\"]*\"")
_NAME = re.compile(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w*\s*\()")


def dashboard_queries() -> list[str]:
    """Return the queries of the Grafana dashboard."""
    dashboard = json.loads((DEPLOY / "grafana/dashboards/driver_ranking.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def alert_queries() -> list[str]:
    """Return the expressions of the alerts."""
    alerts = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))
    return [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]


def metric_names(query: str) -> set[str]:
    """Return the metrics that a query names: what is neither a function, nor a label, a range, a text or a keyword."""
    return set(_NAME.findall(_LABELS.sub(" ", query))) - _NOT_METRICS


def label_names(query: str) -> set[str]:
    """Return the labels that a query groups by or selects."""
    grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query)
    selected = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", query)
    return {name.strip() for group in grouped for name in group.split(",")} | set(selected)
