"""Whether a server keeps a transaction together, as reads show it that ask for nobody and write nothing.

A transaction of two reads is sent, of which one cannot be served: it names a type that FHIR does not have. A server
that answers the other beside it has shown that what is sent so stands or falls entry by entry. A record that is not
there would not tell: HAPI answers such a read in its entry, though it keeps all writes of a transaction together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from urllib.parse import quote

import orjson

from fhir_alliance.errors import AllianceError, Unreachable
from fhir_alliance.fhir.identifiers import BASE
from fhir_alliance.stores.bundles import statuses_of
from fhir_alliance.stores.http import Http, Reply, json_of

NOBODY: Final = "fhir-alliance-probe"  # an id that no patient has
_SERVED: Final = f"Questionnaire?url={quote(f'{BASE}/{NOBODY}', safe='')}&_count=1"
_NOT_SERVED: Final = f"FhirAllianceProbe/{NOBODY}"


class Together(StrEnum):
    """What becomes of the rest of a transaction when one of its entries fails, as far as reads show it."""

    WHOLE = "whole"  # it fails, too
    IN_PART = "in part"  # it is done
    NOT_KNOWN = "not known"  # a server that serves no read in a transaction may take writes in one


def kept_together(http: Http) -> Together:
    """Return whether the server keeps transactions together. That all fails tells only where a whole one is served."""
    try:
        both = _sent(http, _SERVED, _NOT_SERVED)
        if _is_in_part(both):
            return Together.IN_PART
        alone = _sent(http, _SERVED)
    except AllianceError:
        return Together.NOT_KNOWN
    is_served = alone.ok and _classes(alone) == [2]
    return Together.WHOLE if is_served and both.status >= 400 else Together.NOT_KNOWN


def is_done_in_part(http: Http) -> bool:
    """Return whether the server has shown that it does not keep transactions together; one request."""
    try:
        return _is_in_part(_sent(http, _SERVED, _NOT_SERVED))
    except AllianceError:
        return False


def _is_in_part(both: Reply) -> bool:
    return both.ok and _classes(both) == [2, 4]


def _classes(reply: Reply) -> list[int]:
    """Return the hundreds of each entry's status, none where the answer cannot be read."""
    try:
        return [status // 100 for status in statuses_of(json_of(reply))]
    except Unreachable:
        return []


def _sent(http: Http, *urls: str) -> Reply:
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    return http.post("", orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
