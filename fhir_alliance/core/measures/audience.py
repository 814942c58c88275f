"""For whom a report is made: what for, and what may stand in it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from fhir_alliance.errors import StopRun


class Role(StrEnum):
    """Who reads a report."""

    SUPERVISOR = "supervisor"
    QUALITY = "quality"
    INSURER = "insurer"


_PERSON: Final = re.compile(r"(Practitioner|PractitionerRole)/[A-Za-z0-9\-.]{1,64}")
_NAMED: Final = {Role.SUPERVISOR: (False, True), Role.QUALITY: (False,), Role.INSURER: (True,)}  # with a name or not


class Audience(msgspec.Struct, frozen=True):
    """A reader, with the name of the insurer, or the reference of the supervisor where it is known who reads."""

    role: Role
    name: str = ""

    @property
    def sees_people(self) -> bool:
        """Return whether single people may be named: only within the clinic's own care."""
        return self.role is Role.SUPERVISOR

    @property
    def words(self) -> str:
        """Return the audience as it was named."""
        return f"{self.role.value}:{self.name}" if self.name else self.role.value


def audience_of(text: str) -> Audience:
    """Return the audience named by supervisor, supervisor:REFERENCE, quality or insurer:NAME; raises StopRun FA712."""
    role, _, name = text.partition(":")
    is_one = _PERSON.fullmatch(name) is not None if name and role == Role.SUPERVISOR else True
    if role not in {r.value for r in Role} or not is_one or bool(name) not in _NAMED[Role(role)]:
        known = "Write supervisor, supervisor:Practitioner/ID, quality or insurer:NAME."
        raise StopRun("FA712", f"{text!r} is no audience.", known)
    return Audience(Role(role), name)
