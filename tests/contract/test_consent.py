"""What a sync promises about consent, on a folder and on a real FHIR server alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import pytest

from fhir_alliance.core.boundaries import Boundaries, Exclusion, Reason
from fhir_alliance.core.consent import ConsentPolicy
from fhir_alliance.core.consent_request import Recipient, Role
from fhir_alliance.core.consent_table import OPEN_TABLE
from fhir_alliance.errors import ConsentUnreachable, Exit
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.rescore import rescore
from fhir_alliance.runs.sync import sync
from fhir_alliance.stores.store import Store
from tests.contract import test_sync as clinic

ANNA, BEN, MILD, SEVERE = clinic.ANNA, clinic.BEN, clinic.MILD, clinic.SEVERE
Site: TypeAlias = Any  # folder or server: see conftest.py
TERMS = "https://fhir-alliance.org/fhir/CodeSystem/terms"


class Meanwhile:
    """A store in which a client's consents change once they have been read: somebody signs while a run plans.

    change: of the resources of the second and every later reading.
    """

    def __init__(self, store: Store, change: Any) -> None:
        self._store, self._change = store, change
        self.readings = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def about(self, kind: str, subjects: Collection[str]) -> list[Mapping[str, Any]]:
        """Return what the store holds; consents as they are by now."""
        found = self._store.about(kind, subjects)
        if kind != "Consent":
            return found
        self.readings += 1
        return found if self.readings == 1 else self._change(found)


def wish(name: str, day: str, choice: str, points: int = 4) -> dict[str, Any]:
    """Return Anna's check-in of a day, with her choice of who may see it."""
    form: dict[str, Any] = clinic.checkin(name, points, day)
    coding = {"system": TERMS, "code": choice}
    return form | {"item": [*form["item"], {"linkId": "may-see", "answer": [{"valueCoding": coding}]}]}


def labels(resource: Mapping[str, Any]) -> set[str]:
    """Return the codes of a resource's security labels."""
    return {label["code"] for label in resource["meta"]["security"]}


def revoked(found: list[Any]) -> list[Any]:
    """Return the consents with one more, that denies."""
    return [*found, clinic.consent("meanwhile", BEN, {"type": "deny"})]


def unreachable(found: list[Any]) -> list[Any]:
    """Raise what a server that has gone away is told by."""
    raise ConsentUnreachable("FA302", "consents cannot be read; nothing is shared.")


def run(site: Site, change: Any, *, again: bool = False) -> Any:
    """Return what a sync, or a rescore, does over a store whose consents change meanwhile."""
    with site.opened() as (store, journal):
        changing = Meanwhile(store, change)
        if again:
            return rescore(changing, load_catalog(), journal, Policy(), site.now, reason="test")
        return sync(changing, load_catalog(), journal, Policy(), site.now)


def test_a_consent_revoked_before_sending_stops_the_writes(site: Site) -> None:
    """Where a client denies between decision and sending, nothing of theirs is sent, and others' scores are."""
    site.load(*clinic.people(), clinic.form("b1", SEVERE, "01-05", BEN), clinic.form("a1", MILD, "01-05"))
    done = run(site, revoked)
    assert (done.scored, done.withheld) == (1, 1)
    assert {o["subject"]["reference"] for o in site.all("Observation")} == {ANNA}
    assert {t["for"]["reference"] for t in clinic.tasks(site, "goal-review")} <= {ANNA}


def test_a_consent_store_that_goes_away_stops_the_writes(site: Site) -> None:
    """Where the consents cannot be read again right before sending, nothing of the page is sent: status 23."""
    site.load(*clinic.people(), clinic.form("b1", SEVERE, "01-05", BEN), clinic.form("a1", MILD, "01-05"))
    with pytest.raises(ConsentUnreachable) as told:
        run(site, unreachable)
    assert told.value.exit is Exit.CONSENT_UNREACHABLE
    assert site.all("Observation") == []
    assert site.sync().scored == 2


def test_a_rescore_asks_again_too(site: Site) -> None:
    """A consent revoked while scores are reckoned anew keeps the new ones from being written."""
    site.load(*clinic.people(), clinic.form("b1", SEVERE, "01-05", BEN))
    site.sync()
    before = site.all("Observation")
    assert run(site, revoked, again=True).withheld == 1
    assert site.all("Observation") == before


def test_a_revocation_stops_what_comes_after_and_deletes_nothing(site: Site) -> None:
    """After a client has withdrawn consent, later forms are withheld; what was written before stays in the record."""
    site.load(*clinic.people(), clinic.form("b1", MILD, "01-05", BEN))
    site.sync()
    before = site.all("Observation")
    site.load(clinic.consent("no", BEN, {"type": "deny"}), clinic.form("b2", SEVERE, "01-12", BEN))
    done = site.sync()
    assert done.scored == 0
    assert done.withheld >= 1
    assert site.all("Observation") == before


def test_anothers_consent_stops_the_run(site: Site) -> None:
    """A search that gives another client's Consent is not to be trusted: nothing is written, status 23."""
    site.load(*clinic.people(), clinic.form("a1", MILD, "01-05"))
    stranger = clinic.consent("x", BEN, {"type": "permit"})
    with site.opened() as (store, journal):
        changing = Meanwhile(store, lambda found: found)
        changing.about = (  # type: ignore[method-assign]
            lambda kind, subjects: [stranger] if kind == "Consent" else store.about(kind, subjects)
        )
        with pytest.raises(ConsentUnreachable) as told:
            sync(changing, load_catalog(), journal, Policy(), site.now)
    assert (told.value.code, told.value.exit) == ("FA303", Exit.CONSENT_UNREACHABLE)
    assert site.all("Observation") == []


def merged(*links: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Return Patients that are linked: of each its id, the kind of link, and the other's id."""
    return [
        {"resourceType": "Patient", "id": own, "link": [{"other": {"reference": f"Patient/{other}"}, "type": kind}]}
        for own, kind, other in links
    ]


ANYTHING = {"type": "permit"}


@pytest.mark.parametrize("named", ["by the survivor", "by the merged"])
@pytest.mark.parametrize(
    ("of_survivor", "of_merged", "scored"),
    [
        (None, None, 2), (None, {"type": "deny"}, 0), ({"type": "deny"}, None, 0), (ANYTHING, {"type": "deny"}, 0),
        ({"type": "deny"}, ANYTHING, 0),
    ],
)  # fmt: skip
def test_a_merge_weakens_no_denial(site: Site, named: str, of_survivor: Any, of_merged: Any, scored: int) -> None:
    """Of two records of one person, a denial in either withholds the forms of both, whichever names the other."""
    link = (("anna", "replaces", "ben"),) if named == "by the survivor" else (("ben", "replaced-by", "anna"),)
    said = [clinic.consent(name, who, rule) for name, who, rule in
            (("c1", ANNA, of_survivor), ("c2", BEN, of_merged)) if rule is not None]  # fmt: skip
    site.load(*clinic.people(), *said, clinic.form("a1", MILD, "01-05"), clinic.form("b1", MILD, "01-05", BEN))
    site.load(*merged(*link))
    assert site.sync().scored == scored


@pytest.mark.parametrize(("who", "scored"), [(ANNA, 2), (BEN, 0)], ids=["survivor's", "merged one's"])
def test_only_the_surviving_records_consent_opens(site: Site, who: str, scored: int) -> None:
    """Where the site asks for a Consent, the survivor's opens both records, and that of the merged one opens none."""
    site.load(*clinic.people(), clinic.consent("c1", who, ANYTHING))
    site.load(clinic.form("a1", MILD, "01-05"), clinic.form("b1", MILD, "01-05", BEN))
    site.load(*merged(("anna", "replaces", "ben"), ("ben", "replaced-by", "anna")))
    assert site.sync(Policy(consent=ConsentPolicy(default_permit=False))).scored == scored


def test_who_is_kept_from_a_merged_record_is_kept_from_the_person(site: Site) -> None:
    """A therapist whom the site keeps from the merged record owns no review of the survivor."""
    kept_out = Boundaries(exclusions=(Exclusion("Practitioner/lea", BEN, Reason.CONFLICT_OF_INTEREST),))
    site.load(*clinic.people(), clinic.form("a1", MILD, "01-05"), clinic.form("a2", SEVERE, "01-12"))
    site.load(*merged(("anna", "replaces", "ben"), ("ben", "replaced-by", "anna")))
    site.sync(Policy(boundaries=kept_out))
    [task] = clinic.tasks(site, "goal-review")
    assert "owner" not in task


def test_all_consents_are_read(site: Site) -> None:
    """Of several hundred Consents the only one that denies is found, on whatever page it stands."""
    many = [clinic.consent(f"c{n:03}", BEN, {"type": "permit"}) for n in range(520)]
    many[260] = clinic.consent("c260", BEN, {"type": "deny"})
    site.load(*clinic.people(), *many, clinic.form("b1", MILD, "01-05", BEN))
    done = site.sync()
    assert (done.scored, done.withheld) == (0, 1)
    assert site.all("Observation") == []


def test_answers_are_written_one_by_one_only_by_consent(site: Site) -> None:
    """Where a site wants answers, those of outcome forms are written, those about the therapist only if named."""
    policy = Policy(with_items=True)
    site.load(*clinic.people(), clinic.form("a1", MILD, "01-05"), clinic.checkin("c1", 4, "01-05"))
    site.sync(policy)
    assert len(answers(site, "LA")) == 9
    assert answers(site, "checkin") == []
    named = {"type": "permit", "securityLabel": [{"system": TERMS, "code": "alliance-item"}]}
    site.load(clinic.consent("yes", ANNA, named), clinic.checkin("c2", 4, "01-12"))
    site.sync(policy)
    found = answers(site, "checkin")
    assert found
    assert all("alliance-item" in labels(resource) for resource in found)


def answers(site: Site, code: str) -> list[dict[str, Any]]:
    """Return the Observations of single answers whose code begins so."""
    return [
        observation
        for observation in site.all("Observation")
        for coding in observation.get("valueCodeableConcept", {}).get("coding", ())
        if coding["code"].startswith(code)
    ]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ("may-see-both", set()),
        ("may-see-therapist", {"withheld-from-supervisor"}),
        ("may-see-supervisor", {"withheld-from-therapist"}),
        ("may-see-nobody", {"withheld-from-therapist", "withheld-from-supervisor"}),
        ("something-else", {"withheld-from-therapist", "withheld-from-supervisor"}),
    ],
)
def test_a_client_keeps_one_sessions_rating(site: Site, choice: str, kept: set[str]) -> None:
    """What a client chose in the form stands as labels on every score of it, and on no other session's."""
    site.load(*clinic.people(), clinic.checkin("c1", 4, "01-05"), wish("c2", "01-12", choice))
    assert site.sync().scored == 2
    for observation in site.all("Observation"):
        is_second = "/c2" in observation["derivedFrom"][0]["reference"]
        wanted = kept if is_second else set()
        found = labels(observation)
        assert {code for code in found if code.startswith("withheld-from-")} == wanted
        assert ("V" in found, "R" in found) == (bool(wanted), not wanted)


@pytest.mark.parametrize(
    ("choice", "reviews"), [("may-see-both", 1), ("may-see-therapist", 1), ("may-see-supervisor", 0)]
)
def test_no_review_reveals_what_is_kept_from_the_therapist(site: Site, choice: str, reviews: int) -> None:
    """A drop in a rating that the client keeps from the therapist opens no review, in this run or in a later one."""
    weeks = [clinic.checkin(f"c{week}", points, f"02-0{week}") for week, points in ((1, 5), (2, 4), (3, 5))]
    site.load(*clinic.people(), *weeks, wish("c4", "02-04", choice, points=1))
    site.sync()
    assert len(clinic.tasks(site, "goal-review")) == reviews
    site.load(clinic.form("a1", MILD, "02-10"))
    site.sync()
    site.forget()
    site.sync()
    told = str(clinic.tasks(site, "goal-review"))
    assert len(clinic.tasks(site, "goal-review")) == reviews
    kept = [o["id"] for o in site.all("Observation") if "withheld-from-therapist" in labels(o)]
    assert not [name for name in kept if name in told]


def test_a_rating_that_is_kept_later_leaves_the_review_that_rests_on_it(site: Site) -> None:
    """A client who afterwards keeps a rating from the therapist ends the review of it; back again, it opens again."""
    weeks = [clinic.checkin(f"c{week}", points, f"02-0{week}") for week, points in ((1, 5), (2, 4), (3, 5))]
    site.load(*clinic.people(), *weeks, wish("c4", "02-04", "may-see-both", points=1))
    site.sync()
    [task] = clinic.tasks(site, "goal-review")
    assert task["status"] == "requested"
    for choice, status in (("may-see-supervisor", "cancelled"), ("may-see-both", "requested")):
        site.load(wish("c4", "02-04", choice, points=1) | {"status": "amended"})
        site.sync()
        [task] = clinic.tasks(site, "goal-review")
        assert task["status"] == status
        assert site.sync().created == {}


def test_a_rating_that_is_kept_from_the_supervisor_later_labels_the_review(site: Site) -> None:
    """A client who afterwards keeps a rating from the supervisor: the open review takes over the label."""
    weeks = [clinic.checkin(f"c{week}", points, f"02-0{week}") for week, points in ((1, 5), (2, 4), (3, 5))]
    site.load(*clinic.people(), *weeks, wish("c4", "02-04", "may-see-both", points=1))
    site.sync()
    [before] = clinic.tasks(site, "goal-review")
    assert "withheld-from-supervisor" not in labels(before)
    site.load(wish("c4", "02-04", "may-see-therapist", points=1) | {"status": "amended"})
    site.sync()
    [task] = clinic.tasks(site, "goal-review")
    assert task["status"] == "requested"
    assert {"withheld-from-supervisor", "V"} <= labels(task)
    assert site.sync().created == {}


def test_reviews_take_over_the_labels_of_what_they_rest_on(site: Site) -> None:
    """A form under a label of its own: goal review and safety review carry it; another client's do not."""
    security = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "ETH"}]
    risky = [*SEVERE[:8], 2]
    site.load(
        *clinic.people(),
        *(clinic.form(name, points, day, meta={"security": security}) for name, points, day in
          (("a1", MILD, "01-05"), ("a2", risky, "01-12"))),
        *(clinic.form(name, points, day, BEN) for name, points, day in (("b1", MILD, "01-05"), ("b2", risky, "01-12"))),
    )  # fmt: skip
    site.sync()
    for kind in ("goal-review", "safety-review"):
        found = {task["for"]["reference"]: labels(task) for task in clinic.tasks(site, kind)}
        assert found == {ANNA: {"R", "PSY", "ETH"}, BEN: {"R", "PSY"}}, kind


def test_no_review_goes_to_somebody_who_is_kept_out(site: Site) -> None:
    """A therapist whom the site keeps from the client's data owns no review of the client; the review still stands."""
    kept_out = Boundaries(exclusions=(Exclusion("Practitioner/lea", ANNA, Reason.CONFLICT_OF_INTEREST),))
    site.load(*clinic.people(), clinic.form("a1", MILD, "01-05"), clinic.form("a2", SEVERE, "01-12"))
    site.sync(Policy(boundaries=kept_out))
    [task] = clinic.tasks(site, "goal-review")
    assert "owner" not in task


def test_no_review_goes_to_somebody_whom_the_client_keeps_out(site: Site) -> None:
    """A therapist whom the client's own Consent denies treatment owns no review; it stands all the same."""
    actor = {"role": {"coding": [{"code": "IRCP"}]}, "reference": {"reference": "Practitioner/lea"}}
    said = clinic.consent("c1", ANNA, {"type": "permit", "provision": [{"type": "deny", "actor": [actor]}]})
    site.load(*clinic.people(), said, clinic.form("a1", MILD, "01-05"), clinic.form("a2", SEVERE, "01-12"))
    ours = Recipient(frozenset({"Organization/clinic"}), roles=frozenset({Role.CUSTODIAN}), is_known=True)
    site.sync(Policy(consent=ConsentPolicy(recipient=ours)))
    [task] = clinic.tasks(site, "goal-review")
    assert "owner" not in task


def test_the_plainest_table_shuts_what_the_shipped_one_shuts() -> None:
    """A run without configuration asks a table whose first row keeps answers about the therapist out of the record."""
    assert [row.permit for row in OPEN_TABLE.rows] == [False, True]
