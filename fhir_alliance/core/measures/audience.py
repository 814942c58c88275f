"""For whom a report is made: what for, and what may stand in it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fhir_alliance.errors import StopRun


class Role(StrEnum):
    """Who reads a report."""

    SUPERVISOR = "supervisor"
    QUALITY = "quality"
    INSURER = "insurer"


class Audience(msgspec.Struct, frozen=True):
    """A reader, with the name of the insurer where it is one."""

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
    """Return the audience named by supervisor, quality or insurer:NAME; raises StopRun FA712."""
    role, _, name = text.partition(":")
    if role not in {r.value for r in Role} or bool(name) != (role == Role.INSURER):
        raise StopRun("FA712", f"{text!r} is no audience.", "Write supervisor, quality or insurer:NAME.")
    return Audience(Role(role), name)
