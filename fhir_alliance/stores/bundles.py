"""Bundles of writes: what goes into an entry, and what a server says became of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import orjson

from fhir_alliance.core.model import Write
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind, Known, referred
from fhir_alliance.fhir.identifiers import urn
from fhir_alliance.stores.capability import Once

OnceOf: TypeAlias = Callable[[Write], Once | None]
_REFERENCE: Final = re.compile(rb'"reference":\s*"([A-Za-z]+/[^"]+)"')
IN_BUNDLES: Final = (Once.CLIENT_ID, Once.CONDITIONAL_UPDATE, Once.CONDITIONAL_CREATE)


def groups_of(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes by group, in their order."""
    grouped: dict[str, list[Change]] = {}
    for change in changes:
        grouped.setdefault(change.write.group or change.write.value, []).append(change)
    return list(grouped.values())


def batches_of(changes: Sequence[Change], entries: int) -> Iterator[list[Change]]:
    """Yield the changes in batches of at most so many entries; a group is never divided."""
    batch: list[Change] = []
    for group in groups_of(changes):
        if batch and len(batch) + len(group) > entries:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def is_company(write: Write) -> bool:
    """Return whether a write only tells where others come from."""
    return write.type == "Provenance"


def waves_of(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Yield the changes so that what refers to another of them comes after it, and what only tells of others last.

    So no review is noted as carried out before its Goal is changed, and nothing is left that rests on what was refused.
    """
    company = [change for change in changes if is_company(change.write)]
    left = [change for change in changes if not is_company(change.write)]
    while left:
        names = {name for change in left for name in _names(change)}
        ready = [change for change in left if not (_refers_to(change) - _names(change)) & names]
        yield ready or left  # a circle is sent as it is, for the server to judge
        left = [change for change in left if ready and change not in ready]
    if company:
        yield company


def _names(change: Change) -> set[str]:
    """Return what others may call a resource: its key, and its reference where it stands already."""
    return {change.write.value, f"{change.write.type}/{change.stored_id}"} if change.stored_id else {change.write.value}


def _refers_to(change: Change) -> set[str]:
    body = change.write.body
    return referred(body) | {found.decode() for found in _REFERENCE.findall(body)}


def transaction(batch: Sequence[Change], known: Known, once_of: OnceOf) -> bytes:
    """Return a transaction; entries refer to each other by the names that they have in it."""
    new = {c.write.value: _own_name(c, once_of) for c in batch if c.kind is ChangeKind.CREATE}
    entries = [entry(change, known, once_of, new) for change in batch]
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def batch_bundle(batch: Sequence[Change], known: Known, once_of: OnceOf) -> bytes:
    """Return a batch; its entries refer to nothing in it."""
    entries = [entry(change, known, once_of, {}) for change in batch]
    return orjson.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries})


def entry(change: Change, known: Known, once_of: OnceOf, new: dict[str, str]) -> dict[str, Any]:
    """Return an entry that can be repeated: an update guarded by its version, or a creation that happens once."""
    write = change.write
    resource = orjson.loads(known.resolve(write.body, new))
    request: dict[str, str]
    if change.kind is ChangeKind.UPDATE:
        request = {"method": "PUT", "url": f"{write.type}/{change.stored_id}"}
        if change.stored_version:
            request["ifMatch"] = f'W/"{change.stored_version}"'
    else:
        once = once_of(write)
        resource = identified(resource, write, once)
        if once is Once.CLIENT_ID:
            request = {"method": "PUT", "url": f"{write.type}/{write.value}"}
        elif once is Once.CONDITIONAL_UPDATE:
            request = {"method": "PUT", "url": f"{write.type}?{criteria(write, resource)}"}
        else:
            request = {"method": "POST", "url": write.type, "ifNoneExist": criteria(write, resource)}
    return {"fullUrl": full_url(change), "resource": resource, "request": request}


def identified(resource: dict[str, Any], write: Write, once: Once | None) -> dict[str, Any]:
    """Return the resource with the id that it is sent under: its key, or none where the server gives one."""
    bare = {name: value for name, value in resource.items() if name != "id"}
    return {"id": write.value, **bare} if once is Once.CLIENT_ID else bare


def criteria(write: Write, resource: dict[str, Any]) -> str:
    """Return the search that finds the resource, as a query."""
    if write.system != CANONICAL:
        element = "_tag" if write.type == "Provenance" else "identifier"  # Provenance has none in R4
        return f"{element}={quote(write.system, safe='')}%7C{write.value}"
    version = f"&version={quote(str(resource['version']), safe='')}" if resource.get("version") else ""
    return f"url={quote(write.value, safe='')}{version}"


def full_url(change: Change) -> str:
    """Return what other entries of the transaction call the resource."""
    value = change.write.value
    return urn(value if change.write.system != CANONICAL else sha256(value.encode()).hexdigest())


def _own_name(change: Change, once_of: OnceOf) -> str:
    is_known = once_of(change.write) is Once.CLIENT_ID
    return f"{change.write.type}/{change.write.value}" if is_known else full_url(change)


def said_of(batch: Sequence[Change], answer: Any) -> list[tuple[int, str, Any]] | None:
    """Return status, id and outcome of each entry, or None where the answer cannot be matched with what was sent."""
    said = _entries(answer)
    if len(said) != len(batch):
        return None
    for change, (_, kind, _, _) in zip(batch, said, strict=True):
        if kind and kind != change.write.type:
            return None  # in another order than they were sent
    return [(status, name, outcome) for status, _, name, outcome in said]


def statuses_of(answer: Any) -> list[int]:
    """Return the status of each entry of an answer to a Bundle; 0 where it has none."""
    return [status for status, _, _, _ in _entries(answer)]


def _entries(answer: Any) -> list[tuple[int, str, str, Any]]:
    entries = answer.get("entry") if isinstance(answer, dict) else None
    return [_said(each) for each in entries] if isinstance(entries, list) else []


def _said(each: Any) -> tuple[int, str, str, Any]:
    response = each.get("response") if isinstance(each, dict) else None
    found = response if isinstance(response, dict) else {}
    status = str(found.get("status", ""))[:3]
    kind, name = place_of(str(found.get("location", "")))
    return (int(status) if status.isascii() and status.isdigit() else 0, kind, name, found.get("outcome"))


def place_of(location: str) -> tuple[str, str]:
    """Return type and id in a location; its host is never looked at."""
    parts = location.partition("/_history/")[0].rstrip("/").split("/")
    return (parts[-2], parts[-1]) if len(parts) >= 2 else ("", "")
