"""Purposes of use: which is part of which.

Source: HL7 v3-ActReason, all that stands below PurposeOfUse (terminology.hl7.org/CodeSystem-v3-ActReason.html,
version 3.1.0, with the later MLTRAINING, PMTDS and TREATDS; 63 codes). HL7 gives it under CC0.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

ANY: Final = "PurposeOfUse"
TREAT: Final = "TREAT"
PAYMENT: Final = "HPAYMT"

_BELOW = {
    "PurposeOfUse": "HMARKT HOPERAT HPAYMT HRESCH PATRQT PUBHLTH TREAT",
    "HOPERAT": (
        "CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HOUTCOMS HPRGRP HQUALIMP HSYSADMIN MEMADMIN "
        "MILCDM MLTRAINING PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV TRAIN"
    ),
    "HSYSADMIN": "LABELING METAMGT",
    "SYSDEV": "HTEST",
    "HPAYMT": "CLMATTCH COVAUTH COVERAGE PMTDS REMITADV",
    "COVERAGE": "ELIGDTRM ELIGVER ENROLLM MILDCRG",
    "HRESCH": "BIORCH CLINTRCH DSRCH POARCH TRANSRCH",
    "CLINTRCH": "CLINTRCHNPC CLINTRCHPC PRECLINTRCH",
    "PATRQT": "FAMRQT PWATRNY SUPNWK",
    "PUBHLTH": "DISASTER THREAT",
    "TREAT": "CLINTRL COC ETREAT POPHLTH TREATDS",
    "ETREAT": "BTG ERTREAT",
}
PARENT: Final = MappingProxyType({code: parent for parent, codes in _BELOW.items() for code in codes.split()})
KNOWN: Final = frozenset({ANY, *PARENT})


def covers(wider: str, purpose: str) -> bool:
    """Return whether a purpose is the wider one or part of it."""
    return wider in and_wider(purpose)


def and_wider(purpose: str) -> frozenset[str]:
    """Return a purpose with all that it is part of; one that is not known is part of nothing."""
    return _WIDER.get(purpose) or frozenset((purpose,))


def _and_wider(code: str) -> frozenset[str]:
    found = {code}
    while code in PARENT:
        code = PARENT[code]
        found.add(code)
    return frozenset(found)


_WIDER = {code: _and_wider(code) for code in KNOWN}
