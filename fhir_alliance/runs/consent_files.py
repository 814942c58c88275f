"""Reads what a site decides about sharing: the default table, and the list of who is what to whom."""

from __future__ import annotations

import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fhir_alliance.config import explain
from fhir_alliance.core.boundaries import Boundaries, Exclusion, Identity, Reason, Restriction, Standing
from fhir_alliance.core.consent_request import DataLevel, Role
from fhir_alliance.core.consent_table import Need, Row, Table
from fhir_alliance.core.model import Family
from fhir_alliance.core.purposes import KNOWN
from fhir_alliance.errors import StopRun

_SHIPPED = Path(__file__).parents[1] / "consent" / "table.toml"
_Reference = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{1,40}/[A-Za-z0-9\-.]{1,64}$")]
_Client = Annotated[str, Field(pattern=r"^Patient/[A-Za-z0-9\-.]{1,64}$")]
_Purposes = tuple[str, ...]
_Model = TypeVar("_Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known(purposes: _Purposes) -> _Purposes:
    """Return the purposes; one that v3-ActReason does not have would never fit, and is refused."""
    unknown = [purpose for purpose in purposes if purpose not in KNOWN]
    if unknown:
        raise ValueError(f"no purposes of v3-ActReason: {', '.join(unknown)}")
    return purposes


class _RowPart(_Part):
    id: str = Field(min_length=1)
    says: str = Field(min_length=1)
    permit: bool
    to: frozenset[Role] = frozenset()
    not_to: frozenset[Role] = frozenset()
    purposes: _Purposes = ()
    levels: frozenset[DataLevel] = frozenset()
    families: frozenset[Family] = frozenset()
    labels: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    people_at_least: int = Field(0, ge=0)
    needs: frozenset[Need] = frozenset()

    _purposes = field_validator("purposes")(_known)

    def noun(self) -> Row:
        """Return the row as a noun of the core."""
        return Row(**{name: getattr(self, name) for name in Row.__struct_fields__})


class _TableFile(_Part):
    version: str = Field(min_length=1)
    row: tuple[_RowPart, ...] = Field(min_length=1)


class _RolePart(_Part):
    who: _Reference
    role: Role
    clients: tuple[_Client, ...] = ()


class _IdentityPart(_Part):
    references: tuple[_Reference, ...] = Field(min_length=1)
    organizations: tuple[_Reference, ...] = ()


class _ExclusionPart(_Part):
    who: _Reference
    client: _Client
    reason: Reason


class _RestrictionPart(_Part):
    client: _Client
    purposes: _Purposes = Field(min_length=1)
    reason: Reason
    who: _Reference | None = None

    _purposes = field_validator("purposes")(_known)


class _RolesFile(_Part):
    role: tuple[_RolePart, ...] = ()
    person: tuple[_IdentityPart, ...] = ()
    exclude: tuple[_ExclusionPart, ...] = ()
    restrict: tuple[_RestrictionPart, ...] = ()


def load_table(file: Path | None = None) -> Table:
    """Return the default table: the shipped one, or a site's own in its place.

    Raises StopRun FA320 where the file cannot be used, or two rows share an id.
    """
    return _shipped() if file is None else _table(file)


@cache
def _shipped() -> Table:
    return _table(_SHIPPED)


def _table(file: Path) -> Table:
    read = _read(file, _TableFile, "FA320")
    twice = [name for name, count in Counter(row.id for row in read.row).items() if count > 1]
    if twice:
        raise StopRun("FA320", f"{file}: the rows {', '.join(twice)} stand twice.", "Give each row an id of its own.")
    return Table(read.version, tuple(row.noun() for row in read.row))


def load_boundaries(file: Path | None = None) -> Boundaries:
    """Return the site's list of roles, exclusions and restrictions; an empty one where the site has none.

    Raises StopRun FA321 where the file cannot be used.
    """
    if file is None:
        return Boundaries()
    read = _read(file, _RolesFile, "FA321")
    return Boundaries(
        tuple(Standing(part.who, part.role, frozenset(part.clients)) for part in read.role),
        tuple(Identity(frozenset(part.references), frozenset(part.organizations)) for part in read.person),
        tuple(Exclusion(part.who, part.client, part.reason) for part in read.exclude),
        tuple(Restriction(part.client, part.purposes, part.reason, part.who or "") for part in read.restrict),
    )


def _read(file: Path, model: type[_Model], code: str) -> _Model:
    try:
        return model.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise StopRun(code, f"{file} cannot be read ({error.strerror}).", "Check [consent].") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StopRun(code, f"{file} is not TOML: {error}.", "Correct that line.") from None
    except ValidationError as error:
        raise StopRun(code, f"{file}: {explain(error)}.", "Compare it with the shipped table.") from None
