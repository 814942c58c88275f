"""A page is taken in parts by clients, of which no person is in two, and which grow no larger than memory allows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fhir_alliance.core.model import Response
from fhir_alliance.fhir.inbound import Withdrawal
from fhir_alliance.runs import reading
from fhir_alliance.runs.reading import Parts, Reading
from fhir_alliance.testing import make_form


def form(client: str) -> Response:
    """Return a form of a client."""
    return msgspec.structs.replace(make_form({}, key=client), subject=f"Patient/{client}")


def page(clients: str, *withdrawals: Withdrawal) -> Reading:
    """Return a page with a form of each client."""
    return Reading([form(client) for client in clients], list(withdrawals), [], [], [], [], {})


class People:
    """A store in which some records were merged into others. merged: the one that stands, by the one that does not."""

    base = ""

    def __init__(self, **merged: str) -> None:
        self._merged = merged

    def named(self, kind: str, references: list[str]) -> list[dict[str, Any]]:
        """Return the patients."""
        return [self._patient(reference.partition("/")[2]) for reference in references]

    def _patient(self, name: str) -> dict[str, Any]:
        into = self._merged.get(name)
        links = [{"type": "replaced-by", "other": {"reference": f"Patient/{into}"}}] if into else []
        return {"resourceType": "Patient", "id": name, "link": links}


def parted(reading: Reading, parts: Parts, store: Any, size: int = 0) -> list[str]:
    """Return the clients of each part in turn; size: records that turn out to be there about each client."""
    found = []
    for part in parts.of(reading, store):
        names = sorted(subject.removeprefix("Patient/") for subject in part.subjects)
        found.append("".join(names))
        assert [form.subject for form in part.forms] == [f"Patient/{name}" for name in names]
        if size:
            parts.learn(SimpleNamespace(size=size * len(names), subjects=names))  # type: ignore[arg-type]
    return found


def test_a_part_has_as_many_clients_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on record about the clients of a part decides how many the next one has, and one is always taken."""
    monkeypatch.setattr(reading, "RECORDS_AT_ONCE", 200)
    parts = Parts()
    assert parted(page("abcdefgh"), parts, People(), size=50) == ["ab", "cdef", "gh"]
    assert parted(page("abc"), parts, People(), size=1000) == ["abc"]
    assert parted(page("abc"), parts, People()) == ["a", "b", "c"]
    assert parted(page(""), parts, People()) == []


def test_records_of_one_person_are_never_parted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that were merged come in one part, also where each person is one by himself."""
    monkeypatch.setattr(reading, "RECORDS_AT_ONCE", 1)
    assert parted(page("abcd"), Parts(), People(a="d", d="e")) == ["ad", "b", "c"]


def test_a_withdrawal_that_names_nobody_keeps_the_page_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody's scores may rest on the form; one that says whose it is goes with that client's part."""
    monkeypatch.setattr(reading, "RECORDS_AT_ONCE", 1)
    nameless, named = Withdrawal("", "", "gone"), Withdrawal("QuestionnaireResponse/x", "Patient/b", "gone")
    assert parted(page("abc", nameless), Parts(), People()) == ["abc"]
    assert [part.withdrawals for part in Parts().of(page("abc", named), People())] == [[], [named], []]  # type: ignore[arg-type]
