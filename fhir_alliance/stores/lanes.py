"""Several connections at once: each client's writes go down one lane, in their order; lanes do not wait for each other.

Only requests run beside each other. Whatever touches the journal, or what is known of the store, happens in the thread
that calls, so that a write is noted before it is sent and confirmed after its answer, as with one connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeAlias, TypeVar

import orjson

from fhir_alliance.fhir.difference import Change, subject_of
from fhir_alliance.stores.bundles import batches_of, groups_of

Batch: TypeAlias = list[Change]
T = TypeVar("T")
R = TypeVar("R")


def lanes_of(changes: Sequence[Change], entries: int, at_most: int) -> list[list[Batch]]:
    """Return the changes in lanes of batches of at most so many entries: all of one client in one lane, in order.

    What is about no client goes down one lane together. There are no more lanes than full batches, so that no
    connection is taken for a handful of writes.
    """
    lanes: list[list[Change]] = [[] for _ in range(max(1, min(at_most, -(-len(changes) // entries))))]
    if len(lanes) == 1:
        return [list(batches_of(changes, entries))]
    of_client: dict[str, list[Change]] = {}
    for group in groups_of(changes):
        client = next(filter(None, (subject_of(orjson.loads(change.write.body)) for change in group)), "")
        if client not in of_client:
            of_client[client] = min(lanes, key=len)
        of_client[client] += group
    return [list(batches_of(lane, entries)) for lane in lanes if lane]


def in_lanes(
    lanes: Sequence[Iterable[T]],
    begin: Callable[[T], Callable[[], R] | None],
    end: Callable[[T, Callable[[], R]], bool],
) -> list[list[T]]:
    """Send each lane's parts, one after the other, beside those of the others; return the lanes that had to stop.

    begin: gives the request for a part, or None where there is none to be made.  end: is given its answer, which may be
    an exception, and returns False where the part is to be sent once more when nothing else is on its way: it, and what
    follows it in its lane, comes back.
    Raises the first exception of `end`, after what was on its way has been heard; nothing is sent after it.
    """
    left = [deque(lane) for lane in lanes]
    stopped: list[list[T]] = []
    fault: Exception | None = None
    with ThreadPoolExecutor(len(left)) as pool:
        flying: dict[Future[R], deque[T]] = {}
        for lane in left:
            _launch(lane, begin, pool, flying)
        while flying:
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                lane = flying.pop(future)
                try:
                    if end(lane[0], future.result):
                        lane.popleft()
                    else:
                        stopped.append(list(lane))
                        lane.clear()
                    if fault is None:
                        _launch(lane, begin, pool, flying)
                except Exception as error:
                    fault = fault or error
    if fault is not None:
        raise fault
    return stopped


def _launch(
    lane: deque[T],
    begin: Callable[[T], Callable[[], R] | None],
    pool: ThreadPoolExecutor,
    flying: dict[Future[R], deque[T]],
) -> None:
    """Send the next part of a lane for which there is a request."""
    while lane:
        ask = begin(lane[0])
        if ask is not None:
            flying[pool.submit(ask)] = lane
            return
        lane.popleft()
