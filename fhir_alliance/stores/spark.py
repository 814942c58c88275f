"""Spark as a crew: one session, and pieces worked on in its processes.

The workers need this program installed, and what they read under the same paths. What goes to and fro is Arrow.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fhir_alliance.errors import StopRun
from fhir_alliance.stores.crew import Crew, Work, made

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


# Where one of these is set, Spark is configured by its own means, and what they say counts.
_CONFIGURED: Final = ("SPARK_CONF_DIR", "PYSPARK_SUBMIT_ARGS", "PYSPARK_GATEWAY_PORT")
# Else it is this machine alone, and nobody else can reach it.
_HERE: Final = {
    "spark.master": "local[*]",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.python.unix.domain.socket.enabled": "true",  # over TCP each task waited for some 25 ms
}


def _here() -> dict[str, str]:
    """Return how Spark runs on this machine alone. Its sockets stand where nobody but we can open them."""
    sockets = tempfile.mkdtemp(prefix="fhir-alliance-")  # 0700
    atexit.register(shutil.rmtree, sockets, ignore_errors=True)
    return _HERE | {"spark.python.unix.domain.socket.dir": sockets}


def spark_session() -> SparkSession:
    """Return the session that is open already, or a new one as Spark is configured: by default on all cores here.

    Raises StopRun FA731 without the extra, FA732 where Spark does not start.
    """
    try:
        import pyarrow as pa  # noqa: F401 - asked for here, so that nobody waits for Java first
        import pyspark.errors
        from pyspark.sql import SparkSession
    except ImportError:
        raise StopRun("FA731", "--engine spark needs pyspark.", "Run: pip install 'fhir-alliance[spark]'") from None
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers here would run the first Python on the path
    progress = str(sys.stderr.isatty()).lower()
    builder = SparkSession.builder.appName("fhir-alliance").config("spark.ui.showConsoleProgress", progress)
    for key, value in ({} if any(name in os.environ for name in _CONFIGURED) else _here()).items():
        builder = builder.config(key, value)
    try:
        with _quiet():
            session = builder.getOrCreate()
    except (pyspark.errors.PySparkRuntimeError, FileNotFoundError):
        raise StopRun(
            "FA732", "Spark does not start.", "It needs Java 17 or newer: install it, or set JAVA_HOME to it."
        ) from None
    session.sparkContext.setLogLevel("OFF")  # what fails in a worker is told by us, without what it stood on
    return session


@contextmanager
def _quiet() -> Iterator[None]:
    """Let pass that Spark tells which pandas it prefers: nothing here goes through pandas."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def spark_crew() -> Crew:
    """Return Spark as a crew: each piece is a task of its own. Raises StopRun FA731 or FA732."""
    return partial(_on_spark, spark_session())


def _on_spark(session: SparkSession, pieces: Sequence[bytes], work: Work, shared: Any) -> Iterator[bytes]:
    if not pieces:
        return iter(())
    sent = session.sparkContext.broadcast((shared, pieces))  # once to each process

    def in_worker(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            shared, pieces = sent.value
            done = [made(work, shared, number, pieces[number]) for number in batch.column(0).to_pylist()]
            yield batch.append_column("made", done)

    try:
        with _quiet():
            places = session.range(0, len(pieces), 1, len(pieces))
            rows = places.mapInArrow(in_worker, "id long, made binary").collect()
    finally:
        sent.destroy()
    return (bytes(row.made) for row in sorted(rows, key=lambda row: int(row.id)))
