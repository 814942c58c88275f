"""A check-up of a store, for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "fault": ("FAULT", "bold red")}
_TYPES = ("QuestionnaireResponse", "Questionnaire", "Observation", "Task", "Consent", "Goal", "CarePlan", "CareTeam")
_INTERACTIONS = (("read", "read"), ("search-type", "search"), ("create", "create"), ("update", "update"))


def check_up_page(found: Mapping[str, Any]) -> RenderableType:
    """Return the checks, the capability table, the routes, and what an administrator has to allow."""
    parts: list[RenderableType] = [Text(str(found["store"]), style="bold"), _checks(found["checks"])]
    profile = found["profile"]
    if profile is not None:
        parts += [Text(""), Text(_about(profile), style="bold"), _capabilities(profile["types"])]
    if found["pull"] is not None:
        parts += [Text(""), Text("How changed forms are found", style="bold")]
        parts += [Text(f"  {found['pull']['way']}: {found['pull']['reason']}")]
    if found["routes"]:
        parts += [Text(""), Text("How each output gets there", style="bold"), _routes(found["routes"])]
    if found["to_allow"]:
        parts += [Text(""), Text("What the site's administrator has to allow", style="bold")]
        parts += [Text(f"  - {line}") for line in found["to_allow"]]
    return Group(*parts)


def _checks(checks: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("", "check", "finding")
    for check in checks:
        mark, style = _MARKS[check["standing"]]
        hint = f" {check['hint']}" if check["hint"] and check["standing"] != "ok" else ""
        table.add_row(Text(mark, style=style), Text(check["name"]), Text(check["what"] + hint))
    return table


def _about(profile: Mapping[str, Any]) -> str:
    several = [name for name in ("transaction", "batch") if profile[name]]
    named = profile["software"] or "a server that does not say what it is"
    return f"{named}, FHIR {profile['fhir_version'] or '?'}; takes {' and '.join(several) or 'one write at a time'}"


def _capabilities(types: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("type", *(title for _, title in _INTERACTIONS), "kept single by", "search")
    for kind in _TYPES:
        held = types.get(kind) or types.get("*") or {"interactions": (), "search": ()}
        cells = [Text("yes") if code in held["interactions"] else Text("-", style="dim") for code, _ in _INTERACTIONS]
        wanted = [
            name for name in ("patient", "identifier", "_lastUpdated", "authored", "url") if name in held["search"]
        ]
        table.add_row(Text(kind), *cells, Text(_single(held)), Text(", ".join(wanted)))
    return table


def _single(held: Mapping[str, Any]) -> str:
    names = (
        ("update_create", "own ids"),
        ("conditional_update", "cond. update"),
        ("conditional_create", "cond. create"),
    )
    return ", ".join(title for name, title in names if held.get(name)) or "-"


def _routes(routes: Sequence[Mapping[str, str]]) -> Table:
    table = _table("output", "route", "why")
    for route in routes:
        table.add_row(*(Text(cell) for cell in (route["output"], route["route"] or "none", route["reason"])))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, header_style="dim")
    return table
