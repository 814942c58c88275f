"""Each kind of bad input has its rule, is counted, and changes nothing beyond what the rule says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from msgspec.structs import replace

from fhir_alliance.core.measures.bad_input import RULES, set_right
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.people import Kind, Person
from fhir_alliance.core.model import Decision, Level, Review, ReviewKind, ReviewStatus, TaskStatus
from fhir_alliance.fhir.person import person_of

PERIOD = Days(date(2026, 1, 1), date(2026, 12, 31))
SUBJECT = {"reference": "Patient/a"}


def person(*resources: dict[str, Any], **patient: Any) -> Person:
    """Return a person set right, from resources without their subjects."""
    whole = {"resourceType": "Patient", "id": "a", "birthDate": "1990-01-01", **patient}
    return set_right(person_of(whole, [{"subject": SUBJECT, **r} for r in resources], {}), PERIOD, PERIOD.last)


def score(name: str, when: str, value: int = 5, **more: Any) -> dict[str, Any]:
    """Return a PHQ-9 total."""
    code = {"coding": [{"system": "http://loinc.org", "code": "44261-6"}]}
    whole = {"resourceType": "Observation", "id": name, "status": "final", "code": code, "effectiveDateTime": when}
    return {**whole, "valueInteger": value, **more}


def visit(name: str, start: str, **more: Any) -> dict[str, Any]:
    """Return a finished encounter."""
    kind = [{"coding": [{"system": "http://x", "code": "visit"}]}]
    whole = {"resourceType": "Encounter", "id": name, "status": "finished", "class": {"code": "AMB"}, "type": kind}
    return {**whole, "period": {"start": start, "end": start}, **more}


def episode(name: str, start: str, end: str = "", **more: Any) -> dict[str, Any]:
    """Return a time in care."""
    period = {"start": start} | ({"end": end} if end else {})
    return {
        "resourceType": "EpisodeOfCare",
        "id": name,
        "status": "finished" if end else "active",
        "period": period,
        **more,
    }


def test_a_plain_record_has_nothing_odd() -> None:
    """A birth date, a visit, an episode and a score are no bad input."""
    plain = (visit("v", "2026-03-01"), score("s", "2026-03-01"), episode("e", "2026-01-01", "2026-06-30"))
    assert person(*plain).odd == ()


def test_overlapping_episodes_are_one() -> None:
    """Two that overlap are one from the first day to the last; two that touch are two."""
    one = person(episode("e", "2026-01-01", "2026-03-31"), episode("f", "2026-03-01", "2026-06-30"))
    assert one.odd == (("overlapping-episodes", 1),)
    assert [(e.first, e.last) for e in one.episodes] == [(date(2026, 1, 1), date(2026, 6, 30))]
    two = person(episode("e", "2026-01-01", "2026-03-31"), episode("f", "2026-03-31", "2026-06-30"))
    assert (two.odd, len(two.episodes)) == ((), 2)


def test_an_open_episode_swallows_what_follows() -> None:
    """What begins while another goes on is part of it, and the whole goes on."""
    one = person(episode("e", "2026-01-01"), episode("f", "2026-03-01", "2026-06-30"))
    assert [(e.first, e.last, e.is_finished) for e in one.episodes] == [(date(2026, 1, 1), None, False)]


def test_no_birth_date() -> None:
    """A missing birth date is counted; one of which only the year is known is not missing."""
    assert person(birthDate="").odd == (("missing-birth-date", 1),)
    assert person(birthDate="1990").odd == ()


def test_scores_of_the_future() -> None:
    """A score after the data cut is left out and counted; one on its last day is not."""
    found = person(score("s", "2026-12-31"), score("t", "2027-01-01"), score("u", "2099-01-01"))
    assert [fact.reference for fact in found.facts] == ["Observation/s"]
    assert found.odd == (("future-score", 2),)


def test_duplicate_encounters() -> None:
    """The same visit entered twice is one; another hour, type or status makes another."""
    same = person(visit("v", "2026-03-01T10:00:00Z"), visit("w", "2026-03-01T10:00:00Z"))
    assert (len(same.of(Kind.ENCOUNTER)), same.odd) == (1, (("duplicate-encounter", 1),))
    others = (visit("w", "2026-03-01T11:00:00Z"), visit("x", "2026-03-01T10:00:00Z", status="cancelled"))
    assert person(visit("v", "2026-03-01T10:00:00Z"), *others).odd == ()


def test_the_same_resource_twice_is_one() -> None:
    """A resource that comes in two files counts once, and is not odd."""
    assert len(person(score("s", "2026-03-01"), score("s", "2026-03-01")).facts) == 1


def test_two_scores_on_one_day() -> None:
    """Both are kept; the day is counted once, and a day with one score is not."""
    found = person(score("s", "2026-03-01T09:00:00Z"), score("t", "2026-03-01T10:00:00Z", 9), score("u", "2026-03-02"))
    assert (len(found.facts), found.odd) == (3, (("two-scores-on-one-day", 1),))


def test_amended_after_the_period() -> None:
    """An amendment written after the period's end is counted; one within it is not."""
    late = {"status": "amended", "meta": {"lastUpdated": "2027-01-01T00:00:00Z"}}
    early = {"status": "amended", "meta": {"lastUpdated": "2026-12-31T23:00:00Z"}}
    found = person(score("s", "2026-03-01", **late), score("t", "2026-04-01", **early))
    assert found.odd == (("amended-after-period", 1),)


def test_a_client_of_two_clinics() -> None:
    """Two organizations on record are counted, and both are known."""
    one, two = {"reference": "Organization/one"}, {"reference": "Organization/two"}
    found = person(visit("v", "2026-03-01", serviceProvider=two), managingOrganization=one)
    assert found.odd == (("client-in-two-clinics", 1),)
    assert found.clinics == ("Organization/one", "Organization/two")


def test_every_rule_is_stated() -> None:
    """Each of these has its sentence, which the manifest and the page quote."""
    assert all(sentence.endswith(".") for sentence in RULES.values())


def test_nothing_after_the_data_cut_is_looked_at() -> None:
    """What began after an earlier cut is not there, a review done later stands open; a safety review is always told."""
    cut = date(2026, 6, 30)
    facts = (*person(visit("v1", "2026-06-30"), visit("v2", "2026-07-01")).facts,)
    done = Review(
        "k1", ReviewKind.GOAL, ReviewStatus.CLOSED, "Patient/a", "", Level.ROUTINE, (), (),
        datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 15, tzinfo=UTC), closed_on=date(2026, 7, 2),
        stage=TaskStatus.COMPLETED, decision=Decision.GOAL_KEPT,
    )  # fmt: skip
    before = replace(done, key="k2", closed_on=cut)
    later = replace(done, key="k3", opened=datetime(2026, 7, 1, tzinfo=UTC))
    safety = replace(later, key="k4", kind=ReviewKind.SAFETY, status=ReviewStatus.OPEN, closed_on=None, decision=None)
    found = set_right(Person("Patient/a", None, facts=facts, reviews=(done, before, later, safety)), PERIOD, cut)
    assert [fact.reference for fact in found.facts] == ["Encounter/v1"]
    assert [(r.key, r.status, r.closed_on, r.decision) for r in found.reviews] == [
        ("k1", ReviewStatus.OPEN, None, None), ("k2", ReviewStatus.CLOSED, cut, Decision.GOAL_KEPT),
        ("k4", ReviewStatus.OPEN, None, None),
    ]  # fmt: skip
    assert dict(found.odd) == {}
