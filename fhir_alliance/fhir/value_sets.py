"""FHIR ValueSets that a site supplies, as sets of codes.

An expansion is taken as it stands. A compose is taken where it lists its codes or names other ValueSets; filters
and whole code systems need a terminology server, which is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fhir_alliance.core.measures.definition import CodeSet
from fhir_alliance.core.measures.people import Codes

_OID = "urn:oid:"


class Supplied(msgspec.Struct, frozen=True):
    """ValueSets by every name that they can be asked for: url, OID and name."""

    resources: dict[str, Mapping[str, Any]]

    @staticmethod
    def of(resources: Iterable[Mapping[str, Any]]) -> Supplied:
        """Return ValueSets ready to be looked up; of several versions the highest one counts."""
        found: dict[str, Mapping[str, Any]] = {}
        for resource in sorted(resources, key=lambda r: str(r.get("version", ""))):
            for name in _names(resource):
                found[name] = resource
        return Supplied(found)

    def codes(self, code_set: CodeSet) -> tuple[Codes, str] | None:
        """Return the codes of a measure's set and the version used; None where the site does not supply it.

        Asked for by url, then by OID, then by name (without spaces, in any case).
        """
        oid = code_set.value_set.rpartition("/")[2].removeprefix(_OID)
        for name in (code_set.value_set, oid, _folded(code_set.title)):
            if name and name in self.resources:
                codes = self._codes(self.resources[name], 0)
                return None if codes is None else (codes, str(self.resources[name].get("version", "")))
        return None

    def _codes(self, resource: Mapping[str, Any], depth: int) -> Codes | None:
        expansion = resource.get("expansion")
        if isinstance(expansion, dict) and isinstance(expansion.get("contains"), list):
            return frozenset(_contained(expansion["contains"]))
        compose = resource.get("compose")
        if not isinstance(compose, dict) or depth > 8:
            return None
        found: set[tuple[str, str]] = set()
        for part, sign in (("include", True), ("exclude", False)):
            for rule in compose.get(part) or ():
                codes = self._listed(rule, depth)
                if codes is None:
                    return None
                found = found | codes if sign else found - codes
        return frozenset(found)

    def _listed(self, rule: Mapping[str, Any], depth: int) -> Codes | None:
        """Return the codes of one include or exclude; None where it cannot be told without a terminology server."""
        if rule.get("filter"):
            return None
        codes: Codes | None = None
        if rule.get("concept"):
            codes = frozenset((str(rule.get("system", "")), str(concept["code"])) for concept in rule["concept"])
        for url in rule.get("valueSet") or ():
            other = self.resources.get(str(url).partition("|")[0])
            named = None if other is None else self._codes(other, depth + 1)
            if named is None:
                return None
            codes = named if codes is None else codes & named
        return codes


def _contained(entries: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for entry in entries:
        if entry.get("code") and not entry.get("abstract"):
            yield str(entry.get("system", "")), str(entry["code"])
        yield from _contained(entry.get("contains") or ())


def _names(resource: Mapping[str, Any]) -> list[str]:
    url = str(resource.get("url", ""))
    oids = [str(i.get("value", "")) for i in resource.get("identifier") or () if isinstance(i, dict)]
    names = [url, url.rpartition("/")[2], *(oid.removeprefix(_OID) for oid in oids), str(resource.get("id", ""))]
    return [name for name in (*names, *(_folded(str(resource.get(k, ""))) for k in ("name", "title"))) if name]


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
