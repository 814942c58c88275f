"""What publishing has to do so that artefacts stand in a store as they should, version by version.

A Questionnaire that somebody may have answered is never overwritten: a new version stands beside it, and the older
one is retired. Profiles and terminology stand once, and are kept current.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.core.model import Write, WriteMode
from fhir_alliance.fhir.difference import CANONICAL, Change, ChangeKind
from fhir_alliance.fhir.terminology import GENERATED, grown
from fhir_alliance.fhir.versions import order

Resource = Mapping[str, Any]

_OWN = frozenset({"id", "meta", "text"})  # what a store gives a resource by itself
_LICENCE = frozenset({"status", "copyright"})  # what changes when a site's permission is renewed
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9\-.]")
MAX_ID: Final = 64


class State(StrEnum):
    """How an artefact stands in the store; first what a person should look at first."""

    CONFLICT = "conflict"
    NEW = "new"
    CHANGED = "changed"
    TO_RETIRE = "to retire"
    UNCHANGED = "unchanged"

    @property
    def rank(self) -> int:
        """The place in the order above."""
        return list(State).index(self)


class Step(msgspec.Struct, frozen=True):
    """One artefact in one version, how it stands, and what is sent for it, if anything.

    what: which elements differ, or why.  code: of the error that a conflict is.
    """

    state: State
    type: str
    url: str
    version: str
    change: Change | None = None
    what: str = ""
    code: str = ""


def form_steps(form: Resource, stored: Iterable[Resource], *, is_lapsed: bool = False) -> list[Step]:
    """Return what is done about a Questionnaire: first the version that should stand, then the ones it replaces.

    stored: all that the store holds under its url.  is_lapsed: the site's permission for its wording has ended.
    A draft replaces nothing that is in use, unless it may be used no longer.
    """
    held = _addressable(stored)
    version = str(form["version"])
    others = [r for r in held if r.get("version") != version and r.get("status") != "retired"]
    newer = [str(r.get("version", "")) for r in others if order(str(r.get("version", ""))) > order(version)]
    if newer:
        return [_step(State.CONFLICT, form, what=f"the store holds the newer {', '.join(newer)}", code="FA131")]
    replaces = form["status"] == "active" or is_lapsed
    leaving = [r for r in others if replaces or r.get("status") == "draft"]
    staying = [str(r.get("version", "")) for r in others if r not in leaving]
    same = [r for r in held if r.get("version") == version]
    same.sort(key=lambda r: r.get("status") != "retired")  # one in use counts before one that is not
    step = _form_step(form, same[-1], is_lapsed) if same else _created(form, held, staying)
    return [step] if step.state is State.CONFLICT else [step, *map(_retired, leaving)]


def kept_step(artefact: Resource, stored: Iterable[Resource]) -> Step:
    """Return what is done about a profile, value set, code system or map: it stands once, and is kept current."""
    held = _addressable(stored)
    if not held:
        return _created(artefact, held)
    version = str(artefact.get("version", ""))
    last = max(held, key=lambda r: (r.get("version") == version, order(str(r.get("version", "")))))
    wanted = grown(artefact, last) if artefact["url"] in GENERATED else artefact
    elements = differing(last, wanted)
    return _updated(wanted, last, ", ".join(elements)) if elements else _step(State.UNCHANGED, wanted)


def differing(stored: Resource, wanted: Resource) -> list[str]:
    """Return the names of the elements in which two resources differ, without those that a store adds."""
    return sorted(n for n in (stored.keys() | wanted.keys()) - _OWN if stored.get(n) != wanted.get(n))


def _form_step(form: Resource, stored: Resource, is_lapsed: bool) -> Step:
    """Return what is done about a Questionnaire that the store holds in the same version."""
    elements = differing(stored, form)
    status = stored.get("status")
    if not elements:
        return _step(State.UNCHANGED, form)
    if status == "draft":
        return _updated(form, stored, ", ".join(elements))
    if status == "retired" and elements == ["status"]:
        return _step(State.UNCHANGED, form, what="retired in the store, and left so")
    if form["status"] == "active" and set(elements) <= _LICENCE:
        return _updated(form, stored, ", ".join(elements))
    if is_lapsed:
        if status == "retired":
            return _step(State.UNCHANGED, form, what="retired: the permission has ended")
        return _retired(stored, "the permission has ended")
    what = f"is {status} in the store with other content ({', '.join(elements)})"
    return _step(State.CONFLICT, form, what=what, code="FA130")


def _created(artefact: Resource, held: Sequence[Resource], staying: Sequence[str] = ()) -> Step:
    """Return the step that puts a new resource there, under an id that no other version has."""
    body = dict(artefact)
    if body["id"] in {r["id"] for r in held}:
        ending = _NOT_IN_IDS.sub("-", f"-{artefact.get('version', '')}")
        body["id"] = str(body["id"])[: MAX_ID - len(ending)] + ending
    what = f"a draft; {', '.join(staying)} stays in use" if staying else ""
    return _step(State.NEW, artefact, Change(_write(artefact, body), ChangeKind.CREATE), what)


def _updated(artefact: Resource, stored: Resource, what: str) -> Step:
    body = {**artefact, "id": stored["id"]}
    return _step(State.CHANGED, artefact, _replacing(body, stored), what)


def _retired(stored: Resource, why: str = "") -> Step:
    """Return the step that retires a version: all that it says stays, for the answers that were given to it."""
    meta = {k: v for k, v in (stored.get("meta") or {}).items() if k not in ("versionId", "lastUpdated")}
    body = {**stored, "status": "retired"}
    body = body | {"meta": meta} if meta else {k: v for k, v in body.items() if k != "meta"}
    return _step(State.TO_RETIRE, stored, _replacing(body, stored), why)


def _replacing(body: Mapping[str, Any], stored: Resource) -> Change:
    guard = str((stored.get("meta") or {}).get("versionId", ""))
    return Change(_write(body, body), ChangeKind.UPDATE, str(stored["id"]), guard)


def _write(artefact: Resource, body: Mapping[str, Any]) -> Write:
    url = str(artefact["url"])
    kind = str(artefact["resourceType"])
    return Write(kind, CANONICAL, url, WriteMode.KEEP_CURRENT, orjson.dumps(body), group=url)


def _step(state: State, artefact: Resource, change: Change | None = None, what: str = "", code: str = "") -> Step:
    kind, url, version = (str(artefact.get(name, "")) for name in ("resourceType", "url", "version"))
    return Step(state, kind, url, version, change, what, code)


def _addressable(stored: Iterable[Resource]) -> list[Resource]:
    """Return the resources that can be written to, the last of each id."""
    return list({r["id"]: r for r in stored if r.get("id")}.values())
