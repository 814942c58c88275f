"""Who does work that falls into pieces: some processes of this machine. Spark is another crew, see `spark.py`."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final, TypeAlias

# a function of this program; given what all share, the piece's place and the piece; it may be called twice for one
Work: TypeAlias = Callable[[Any, int, bytes], bytes]
# does the work on each piece, and yields what was made of them, in their order
Crew: TypeAlias = Callable[[Sequence[bytes], Work, Any], Iterator[bytes]]

# A server that holds no more than imports forks the processes: the one that asks may have threads.
_START: Final = multiprocessing.get_context("forkserver")
_SHARED: dict[str, Any] = {}  # in a process of a crew: what all share


def processes(count: int = 0) -> Crew:
    """Return a crew of processes, as many as there are cores where no number is given."""
    return partial(_in_processes, count or len(os.sched_getaffinity(0)))


def _in_processes(count: int, pieces: Sequence[bytes], work: Work, shared: Any) -> Iterator[bytes]:
    _START.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(min(count, len(pieces)) or 1, _START, _share, (shared,)) as pool:
        yield from pool.map(partial(_made, work), range(len(pieces)), pieces)


def _share(shared: Any) -> None:
    _SHARED["all"] = shared


def _made(work: Work, number: int, piece: bytes) -> bytes:
    return made(work, _SHARED["all"], number, piece)


def made(work: Work, shared: Any, number: int, piece: bytes) -> bytes:
    """Return what is made of a piece; what goes wrong is told without the record that it quotes."""
    gc.disable()  # a piece makes millions of objects and no cycles: looking for these took a tenth of the time
    try:
        return work(shared, number, piece)
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__} in task {number}") from None
    finally:
        gc.enable()
