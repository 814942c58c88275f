"""Who is what to a client, and who is kept out."""

from __future__ import annotations

import pytest

from fhir_alliance.core.boundaries import Boundaries, Exclusion, Identity, Reason, Restriction, Standing
from fhir_alliance.core.consent_request import Role

ANNA, BEN = "Patient/anna", "Patient/ben"
TOM, TOM_HERE, CLINIC = "Practitioner/tom", "PractitionerRole/tom", "Organization/clinic"
SITE = Boundaries(
    standings=(
        Standing(TOM, Role.TREATING, frozenset({ANNA})),
        Standing("Practitioner/lea", Role.SUPERVISING),
        Standing("Organization/insurer", Role.PAYER),
    ),
    identities=(Identity(frozenset({TOM, TOM_HERE}), frozenset({CLINIC})),),
    exclusions=(Exclusion(TOM_HERE, BEN, Reason.DUAL_RELATIONSHIP), Exclusion(CLINIC, "Patient/c", Reason.OTHER)),
    restrictions=(Restriction(ANNA, ("HPAYMT",), Reason.SELF_PAID), Restriction(BEN, ("TREAT",), Reason.OTHER, TOM)),
)


def roles(who: str, client: str, team: dict[str, frozenset[Role]] | None = None) -> set[Role]:
    """Return the roles of somebody to a client."""
    return set(SITE.recipient(SITE.names_of(who), client, team or {}, is_known=True).roles)


@pytest.mark.parametrize(
    ("who", "client", "found"),
    [
        (TOM, ANNA, {Role.TREATING}),
        (TOM_HERE, ANNA, {Role.TREATING}),
        (TOM, BEN, set()),
        ("Practitioner/lea", BEN, {Role.SUPERVISING}),
        ("Organization/insurer", ANNA, {Role.PAYER}),
        (ANNA, ANNA, {Role.CLIENT}),
        (ANNA, BEN, set()),
    ],
)
def test_roles_come_from_the_sites_list(who: str, client: str, found: set[Role]) -> None:
    """A role counts for the clients that it names, or for all, by every name of the person."""
    assert roles(who, client) == found


def test_roles_of_the_care_team_are_added() -> None:
    """What the care team says of one name of a person is said of the person."""
    assert roles(TOM, BEN, {TOM_HERE: frozenset({Role.SUPERVISING})}) == {Role.SUPERVISING}


@pytest.mark.parametrize(
    ("who", "client", "purpose", "barred"),
    [
        (TOM, BEN, "TREAT", 2),
        (TOM_HERE, BEN, "HRESCH", 1),
        (TOM, ANNA, "TREAT", 0),
        (TOM, "Patient/c", "TREAT", 1),
        ("Practitioner/lea", "Patient/c", "TREAT", 0),
        ("Organization/insurer", ANNA, "COVAUTH", 1),
        ("Organization/insurer", ANNA, "TREAT", 0),
        ("Organization/insurer", BEN, "HPAYMT", 0),
        ("Practitioner/lea", BEN, "TREAT", 0),
    ],
)
def test_what_the_list_bars(who: str, client: str, purpose: str, barred: int) -> None:
    """Somebody kept out is barred by every name and organization; a purpose with all that is part of it."""
    recipient = SITE.recipient(SITE.names_of(who), client, {}, is_known=True)
    assert len(SITE.bars(recipient, client, purpose)) == barred


def test_kept_out_by_any_name() -> None:
    """A person is kept from a client's data under whichever name the list has them."""
    assert SITE.is_excluded(TOM, BEN)
    assert SITE.is_excluded(TOM_HERE, BEN)
    assert SITE.is_excluded(TOM, "Patient/c")
    assert not SITE.is_excluded(TOM, ANNA)
    assert not SITE.is_excluded("Practitioner/lea", BEN)
