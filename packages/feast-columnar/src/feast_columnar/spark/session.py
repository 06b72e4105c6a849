"""The Spark session that the store uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession


def open_session(spark_conf: Mapping[str, str] | None) -> SparkSession:
    """Return the Spark session in use, or a new one.

    Args:
        spark_conf: Settings for a new one.

    Raises:
        AsofError: pyspark is not installed, or the session in use has another time zone than UTC.
    """
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError as error:
        message = "The offline store needs pyspark: install the extra 'spark'"
        raise AsofError(message) from error
    running = SparkContext._active_spark_context is not None  # noqa: SLF001 - a session is active in one thread only
    defaults = {"spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC"}
    conf: dict[str, Any] = {} if running else {**defaults, **(spark_conf or {})}
    session = SparkSession.builder.config(map=conf).getOrCreate()
    zone = session.conf.get("spark.sql.session.timeZone")
    if zone not in {"UTC", "Etc/UTC", "GMT"}:
        message = f"Spark's session has the time zone {zone}; set spark.sql.session.timeZone to UTC, as times here are"
        raise AsofError(message)
    return session
