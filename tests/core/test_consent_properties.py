"""What no combination of Consents can do, whoever asks for what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from fhir_alliance.core import consent_rules
from fhir_alliance.core.consent import Actor, ConsentRecord, DataReference, Decision, Provision, decide
from fhir_alliance.core.consent_request import Action, DataLevel, Datum, Recipient, Request, Role
from fhir_alliance.core.model import Code, Family
from fhir_alliance.runs.consent_files import load_table
from fhir_alliance.testing import make_form

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TICK = timedelta(microseconds=1)
OURS, OTHER = ("http://loinc.org", "44249-1"), ("http://loinc.org", "85354-9")
FORM = msgspec.structs.replace(
    make_form({"q1": 1}), reference="QuestionnaireResponse/q1", encounter="Encounter/e1", performer="Patient/p1"
)
DATUM = Datum.of([Code(*OURS)]).about(FORM)
ALLIANCE = Datum.of([Code(*OURS)], family=Family.ALLIANCE).about(FORM)
TABLE = load_table()
TABLES = st.sampled_from([TABLE, TABLE.opt_in()])


def asks(name: str, role: Role, purpose: str, datum: Datum, *, is_known: bool = True) -> Request:
    """Return the request of one recipient."""
    recipient = Recipient(frozenset({name}), frozenset(), frozenset({role}), is_known)
    return Request(FORM.subject, Action.USE, recipient, purpose, datum)


REQUESTS = st.sampled_from(
    [
        asks("Organization/clinic", Role.CUSTODIAN, "TREAT", DATUM),
        asks("Organization/clinic", Role.CUSTODIAN, "TREAT", DATUM, is_known=False),
        asks("Organization/clinic", Role.CUSTODIAN, "TREAT", ALLIANCE.at(DataLevel.ITEM)),
        asks("Organization/insurer", Role.PAYER, "COVAUTH", DATUM),
        asks("Practitioner/lea", Role.SUPERVISING, "TRAIN", ALLIANCE.at(DataLevel.ITEM)),
        asks("Practitioner/tom", Role.TREATING, "ETREAT", DATUM),
        asks("Practitioner/max", Role.RESEARCH, "HRESCH", DATUM),
    ]
)


def some(*values: Any) -> st.SearchStrategy[frozenset[Any]]:
    """Return none or some of these."""
    return st.sets(st.sampled_from(values), max_size=2).map(frozenset)


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "starts": st.sampled_from([None, None, NOW, NOW + TICK]),
    "ends": st.sampled_from([None, NOW, NOW + TICK, NOW - TICK]),
    "purposes": some("TREAT", "ETREAT", "PurposeOfUse", "HPAYMT", "HRESCH", "http://x|y"),
    "classes": some("Observation", "Patient", "http://x/y"),
    "codes": some(OURS, OTHER, ("", OURS[1])),
    "actors": some(
        Actor("Organization/clinic"), Actor("Organization/insurer", "IRCP"), Actor("Practitioner/lea", "AUT"),
        Actor("", "payer"), Actor("Group/g"), Actor("?"),
    ),
    "actions": some("use", "disclose", "copy"),
    "labels": some("N", "R", "V", "PSY", "HIV", "alliance-item", "http://x|y"),
    "data": some(
        DataReference("instance", "QuestionnaireResponse/q1"), DataReference("related", "Encounter/e2"),
        DataReference("authoredby", "Patient/p1"), DataReference("dependents", "EpisodeOfCare/x"),
    ),
    "about_starts": st.sampled_from([None, None, FORM.when, FORM.when + TICK]),
    "about_ends": st.sampled_from([None, None, FORM.when, FORM.when - TICK]),
    "unevaluated": st.sampled_from([(), (), ("where",)]),
    "vague": some("code", "action"),
}  # fmt: skip
FEW = {name: st.one_of(st.just(getattr(Provision(""), name)), kind) for name, kind in KINDS.items()}


def rule(types: Sequence[str], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Provision]:
    """Return rules of which most element kinds are empty."""
    return st.builds(Provision, st.sampled_from(types), **FEW, **more)


RULES = st.recursive(
    rule(["permit", "deny", ""]),
    lambda inner: rule(["permit", "deny"], provisions=st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)
RECORDS = st.builds(
    ConsentRecord,
    st.sampled_from(["Consent/a", "Consent/b", "Consent/c"]),
    st.just(FORM.subject),
    st.sampled_from(["active", "active", "active", "inactive"]),
    st.just("patient-privacy"),
    st.none(),
    st.sampled_from(["", "permit", "deny"]),
    RULES,
    st.sampled_from(["", "", "", "", "cannot be read"]),
)
CONSENTS = st.lists(RECORDS, max_size=3)
SITUATIONS = st.tuples(REQUESTS, CONSENTS, TABLES)


def opens(request: Request, records: Sequence[ConsentRecord], table: Any) -> bool:
    """Return whether the request is permitted."""
    return decide(request, records, table, NOW).permitted


def _with(rules: tuple[Provision, ...], place: int, others: tuple[Provision, ...]) -> tuple[Provision, ...]:
    return (*rules[:place], *others, *rules[place + 1 :])


def changed(root: Provision, how: Any) -> Iterator[Provision]:
    """Yield the rule with a change in one place, once for each place and each change that `how` yields there."""
    yield from how(root)
    for place, child in enumerate(root.provisions):
        for other in changed(child, how):
            yield msgspec.structs.replace(root, provisions=_with(root.provisions, place, (other,)))


def everywhere(records: Sequence[ConsentRecord], how: Any) -> Iterator[list[ConsentRecord]]:
    """Yield the records with a change in one place of one of them."""
    for place, record in enumerate(records):
        for root in changed(record.root, how):
            yield [*records[:place], msgspec.structs.replace(record, root=root), *records[place + 1 :]]


def without_permits(root: Provision) -> Iterator[Provision]:
    """Yield a rule without one of its permits; only permits without exceptions are taken."""
    for place, child in enumerate(root.provisions):
        if child.type == "permit" and not child.provisions:
            yield msgspec.structs.replace(root, provisions=_with(root.provisions, place, ()))


def reordered(root: Provision) -> Provision:
    """Return the same rule with the exceptions of every level backwards."""
    return msgspec.structs.replace(root, provisions=tuple(reordered(child) for child in reversed(root.provisions)))


@given(SITUATIONS, rule(["deny"]))
def test_a_further_deny_never_opens(situation: Any, more: Provision) -> None:
    """A deny added to any Consent, at any place in it, or as a Consent of its own, never permits what was denied."""
    request, records, table = situation
    assume(not opens(request, records, table))
    own = ConsentRecord("Consent/d", FORM.subject, "active", "patient-privacy", None, "", more)
    assert not opens(request, [*records, own], table)

    def grown(root: Provision) -> Iterator[Provision]:
        yield msgspec.structs.replace(root, provisions=(*root.provisions, more))

    assert not any(opens(request, changed, table) for changed in everywhere(records, grown))


@given(SITUATIONS)
def test_a_permit_taken_away_never_opens(situation: Any) -> None:
    """A permit removed from any place in a Consent, or with the Consent, never permits what was denied."""
    request, records, table = situation
    assume(not opens(request, records, table))
    assert not any(opens(request, changed, table) for changed in everywhere(records, without_permits))
    for place, record in enumerate(records):
        if record.root.type == "permit" and not record.root.provisions and not record.unreadable:
            assert not opens(request, [*records[:place], *records[place + 1 :]], table)


@given(SITUATIONS)
def test_what_is_unknown_never_opens(situation: Any) -> None:
    """An element that nobody knows, or a code in words only, added to any rule, never permits what was denied."""
    request, records, table = situation
    assume(not opens(request, records, table))

    def clouded(root: Provision) -> Iterator[Provision]:
        yield msgspec.structs.replace(root, unevaluated=(*root.unevaluated, "something new"))
        for kind in ("code", "action"):
            yield msgspec.structs.replace(root, vague=root.vague | {kind})

    assert not any(opens(request, changed, table) for changed in everywhere(records, clouded))


@given(SITUATIONS)
def test_a_recipient_less_known_never_gets_more(situation: Any) -> None:
    """Whoever is denied by all that is known of them is denied when less is known."""
    request, records, table = situation
    assume(not opens(request, records, table))
    unknown = msgspec.structs.replace(request.recipient, is_known=False)
    assert not opens(msgspec.structs.replace(request, recipient=unknown), records, table)


@given(SITUATIONS)
def test_order_is_irrelevant(situation: Any) -> None:
    """The same Consents, and the same rules in them, decide alike in every order, and on the same ground."""
    request, records, table = situation
    found = decide(request, records, table, NOW)
    turned = [msgspec.structs.replace(record, root=reordered(record.root)) for record in records]
    for order in permutations(turned):
        other = decide(request, order, table, NOW)
        assert (other.permitted, other.id, other.row) == (found.permitted, found.id, found.row)
        assert sorted(other.consents) == sorted(found.consents)
        assert _grounds(other) == _grounds(found)


def _grounds(decision: Decision) -> list[str]:
    """Return the reasons without the number of the exception, which is its place, and without what is lacking."""
    return sorted(re.sub(r" \(exception [0-9.]+\)|does not name .*", "", reason) for reason in decision.reasons)


@given(SITUATIONS)
def test_asking_first_opens_nothing_more(situation: Any) -> None:
    """A site that asks for consent permits nothing that an open site would not, and its own record only by a permit."""
    request, records, _ = situation
    found = decide(request, records, TABLE.opt_in(), NOW)
    if found.permitted:
        assert opens(request, records, TABLE)
        assert found.consents or Role.CUSTODIAN not in request.recipient.roles


@given(SITUATIONS)
def test_what_cannot_be_relied_on_closes(situation: Any) -> None:
    """A Consent that cannot be read, or is of somebody else, denies the request whatever else there is."""
    request, records, table = situation
    assume(records)
    for bad in ({"unreadable": "cannot be read"}, {"subject": "Patient/p2"}):
        assert not opens(request, [msgspec.structs.replace(records[0], **bad), *records[1:]], table)


@given(SITUATIONS)
def test_an_insurer_learns_nothing_of_the_alliance(situation: Any) -> None:
    """Whatever is on record, at every level, alliance data reach no insurer."""
    _, records, table = situation
    for level in DataLevel:
        datum = msgspec.structs.replace(ALLIANCE.at(level), people=99)
        assert not opens(asks("Organization/insurer", Role.PAYER, "HPAYMT", datum), records, table)
        assert not opens(asks("Practitioner/tom", Role.TREATING, "COVAUTH", datum), records, table)


@given(SITUATIONS)
def test_what_is_passed_over_would_have_said_nothing(situation: tuple[Request, list[ConsentRecord], Any]) -> None:
    """Exceptions that are passed over quickly change no decision: looked at in full, each of them says nothing."""
    request, records, table = situation
    quick = decide(request, records, table, NOW)
    with patch.object(consent_rules, "_misses", lambda *_: False):
        assert decide(request, records, table, NOW) == quick
