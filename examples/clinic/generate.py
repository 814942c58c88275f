"""Makes the example clinic: invented clients, therapists and questionnaires as FHIR R4 NDJSON.

    python examples/clinic/generate.py [FOLDER] [--seed N] [--clients N] [--weeks N]

The same seed gives the same bytes. Nobody in it exists. Who has a story of their own stands where it is told below.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

START = datetime(2026, 1, 5, 9, 0, tzinfo=timezone(timedelta(hours=1)))
WEEKS = 12
OURS = "https://fhir-alliance.org/fhir"
LOINC = "http://loinc.org"
ANSWERS = f"{OURS}/CodeSystem/answers"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
ACT = f"{TERMINOLOGY}/v3-ActCode"
REASON = f"{TERMINOLOGY}/v3-ActReason"
OTHER_PHQ = "http://hl7.org/fhir/us/core/Questionnaire/phq-9-example"  # a canonical that servers do not hold

PHQ = ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8")
GAD = ("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7")
FREQUENCY = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")
BOND, GOAL, TASK = ("understood", "trust", "warmth"), ("goals-shared", "goals-right"), ("tasks-sense", "pace")
CHECKIN = (*BOND, *GOAL, *TASK, "hope", "respect", "held-back", "setting")
DECLINED = {"system": f"{TERMINOLOGY}/data-absent-reason", "code": "asked-declined"}
GOALS = (
    "I want to sleep through the night again",
    "I want to take my daughter to the playground without fear",
    "I want to go back to work for half the day",
    "I want to say no without feeling guilty",
    "I want to call my brother",
)
TRAUMA = (7, 18, 29)
NO_GOAL, NO_PLAN = (11, 12, 13), (12, 13)
VIDEO_ONLY, MODE_SWITCH, BY_PHONE = (4, 14, 24), (5, 15, 25), (6,)
GERMAN, SPANISH = (21, 22), (23,)
TURKISH = (9, 20, 31)  # speak it best, and fill in English forms
THERAPISTS = 5
FEW = 40  # a clinic of more clients has more therapists, with unequal caseloads
LATER = (6, 7, 6, 8, 1, 6, 7, 6, 8, 2)


class Clinic:
    """Collects resources by type."""

    def __init__(self, seed: int, clients: int, weeks: int = WEEKS) -> None:
        self.chance = random.Random(seed)
        self.clients, self.weeks = clients, weeks
        self.resources: dict[str, list[Resource]] = {}

    def add(self, kind: str, key: str, when: datetime, /, **elements: Any) -> str:
        """Add a resource; returns its reference. `when` is when the server took it in."""
        version = elements.pop("version", "1")
        meta = {"versionId": version, "lastUpdated": when.isoformat(timespec="milliseconds")}
        resource = {"resourceType": kind, "id": key, "meta": meta} | elements
        self.resources.setdefault(kind, []).append({k: v for k, v in resource.items() if v is not None})
        return f"{kind}/{key}"

    def make(self) -> None:
        """Make everything."""
        self._staff()
        for number in range(1, self.clients + 1):
            self._client(number)
        self._faulty()

    def _staff(self) -> None:
        self.add("Organization", "clinic", START, name="Example Clinic (invented)", active=True)
        for number in range(1, (THERAPISTS if self.clients <= FEW else max(LATER)) + 1):
            name = [{"family": f"Beispiel-{number}", "given": ["Therapist"]}]
            self.add("Practitioner", f"therapist-{number}", START, active=True, name=name)
            self.add(
                "PractitionerRole", f"role-{number}", START, active=True,
                practitioner=ref(f"Practitioner/therapist-{number}"), organization=ref("Organization/clinic"),
            )  # fmt: skip

    def _client(self, number: int) -> None:
        name, therapist = f"client-{number:02}", f"therapist-{therapist_of(number)}"
        patient = self.add(
            "Patient", name, START, active=True, name=[{"family": f"Muster-{number:02}", "given": ["Client"]}],
            birthDate=f"{1956 + (number - 1) % 45}-06-15", gender=("female", "male", "other")[number % 3],
            communication=[spoken(number)], managingOrganization=ref("Organization/clinic"),
        )  # fmt: skip
        episode = self.add(
            "EpisodeOfCare", f"episode-{number:02}", START, status="active", patient=ref(patient),
            managingOrganization=ref("Organization/clinic"), period={"start": START.date().isoformat()},
        )  # fmt: skip
        self._plans(number, patient, therapist)
        self._consents(number, patient)
        course = self._course(number)
        alliance = self._alliance(number)
        for week in range(self.weeks):
            when = START + timedelta(weeks=week, days=number % 5, minutes=30 * (number % 12))
            session = self._encounter(number, week, when, patient, episode, therapist)
            self._forms(number, week, when, patient, therapist, session, course[week], alliance[week])

    def _plans(self, number: int, patient: str, therapist: str) -> None:
        goal = None
        if number not in NO_GOAL:
            text = {"text": GOALS[number % len(GOALS)]}
            goal = self.add(
                "Goal", f"goal-{number:02}", START, lifecycleStatus="active", description=text, subject=ref(patient),
                startDate=START.date().isoformat(), expressedBy=ref(patient),
            )  # fmt: skip
        team = self.add(
            "CareTeam", f"team-{number:02}", START, status="active", subject=ref(patient),
            participant=[
                {"role": [{"text": "lead therapist"}], "member": ref(f"Practitioner/{therapist}")},
                {"role": [{"text": "client"}], "member": ref(patient)},
            ],
        ) if number % 4 else None  # fmt: skip
        if number not in NO_PLAN:
            self.add(
                "CarePlan", f"plan-{number:02}", START, status="active", intent="plan", subject=ref(patient),
                created=START.date().isoformat(), goal=[ref(goal)] if goal else None,
                careTeam=[ref(team)] if team else None,
            )  # fmt: skip

    def _consents(self, number: int, patient: str) -> None:
        permit: Resource = {"type": "permit", "purpose": [treat()]}
        if number == 10:  # the client without any Consent
            return
        if number == 30:  # denies treatment use
            self._consent(f"consent-{number:02}", patient, {"type": "deny", "purpose": [treat()]})
        elif number == 31:  # permits, but not treatment use
            inner = [{"type": "deny", "purpose": [treat()]}]
            self._consent(f"consent-{number:02}", patient, {"type": "permit", "provision": inner})
        elif number == 32:  # denies, but for treatment
            self._consent(f"consent-{number:02}", patient, {"type": "deny", "provision": [permit]})
        else:
            self._consent(f"consent-{number:02}", patient, permit)
        if number == 33:  # a deny that has ended
            past = {"start": "2025-01-01", "end": "2025-12-31"}
            self._consent(f"consent-{number:02}-old", patient, {"type": "deny", "period": past})
        if number == 34:  # a deny that was never signed
            self._consent(f"consent-{number:02}-draft", patient, {"type": "deny"}, status="draft")

    def _consent(self, name: str, patient: str, provision: Resource, status: str = "active") -> None:
        self.add(
            "Consent", name, START, status=status,
            scope={"coding": [{"system": f"{TERMINOLOGY}/consentscope", "code": "patient-privacy"}]},
            category=[{"coding": [{"system": LOINC, "code": "59284-0"}]}], patient=ref(patient),
            dateTime="2025-12-01", policyRule={"coding": [{"system": ACT, "code": "OPTIN"}]}, provision=provision,
        )  # fmt: skip

    def _encounter(self, number: int, week: int, when: datetime, patient: str, episode: str, therapist: str) -> str:
        by_video = number in VIDEO_ONLY or (number in MODE_SWITCH and week >= 6) or number in BY_PHONE
        phone = [{"coding": [{"system": "http://snomed.info/sct", "code": "185317003"}]}]
        end = when + timedelta(minutes=50)
        return self.add(
            "Encounter", f"session-{number:02}-{week + 1:02}", end, status="finished",
            **{"class": {"system": ACT, "code": "VR" if by_video else "AMB"}},
            type=phone if number in BY_PHONE else None, subject=ref(patient), episodeOfCare=[ref(episode)],
            participant=[{"individual": ref(f"Practitioner/{therapist}")}],
            period={"start": when.isoformat(), "end": end.isoformat()},
        )  # fmt: skip

    def _course(self, number: int) -> list[float]:
        """Return how depressed the client is each week, as a share of the worst."""
        first = self.chance.uniform(0.35, 0.62)
        last = self.chance.uniform(0.05, 0.3) if number % 2 else self.chance.uniform(0.3, 0.6)
        if number == 1:  # steady improvement below caseness
            first, last = 0.6, 0.08
        if number == 2:  # from mild to severe
            first, last = 0.25, 0.85
        return [first + (last - first) * week / (self.weeks - 1) for week in range(self.weeks)]

    def _alliance(self, number: int) -> list[float]:
        """Return how good the client finds the alliance each week, from 1 to 5."""
        usual = self.chance.uniform(3.8, 5.0)
        weeks = [usual] * self.weeks
        if number == 3:  # a rupture in week 6, repaired after week 7
            weeks[5], weeks[6] = 2.0, 2.6
        return weeks

    def _forms(
        self, number: int, week: int, when: datetime, patient: str, therapist: str, session: str,
        ill: float, bond: float,
    ) -> None:  # fmt: skip
        common = {"subject": ref(patient), "encounter": ref(session), "language": language(number)}
        who = {"source": ref(patient), "author": ref(patient)}
        before = when - timedelta(minutes=20)
        tag = f"{number:02}-{week + 1:02}"
        points = self._points(ill, len(PHQ) - 1)
        points.append(2 if number == 8 and week in (3, 7) else 0)
        self._phq(number, week, f"phq9-{tag}", points, before, common | who)
        if week % 2 == 0:
            items = coded(GAD, self._points(ill * 0.9, len(GAD)))
            self.form(f"gad7-{tag}", "gad-7", items, before, **common, **who)
        self._checkin(number, week, f"checkin-{tag}", bond, when + timedelta(minutes=55), common | who)
        if week % 3 == 2:
            items = self._rated(self.chance.uniform(3.6, 4.5))
            by = {"source": ref(f"Practitioner/{therapist}"), "author": ref(f"Practitioner/{therapist}")}
            self.form(
                f"therapist-{tag}", "alliance-checkin-therapist", items, when + timedelta(hours=1), **common, **by
            )
        if number in TRAUMA and week % 4 == 0:
            points = [min(4, max(0, round(self.chance.gauss(ill * 4, 0.8)))) for _ in range(20)]
            items = [answered(f"pcl-5-{n}", ANSWERS, f"pcl-5-{p}") for n, p in enumerate(points, 1)]
            self.form(f"pcl5-{tag}", "pcl-5", items, before, **common, **who)

    def _phq(self, number: int, week: int, name: str, points: list[int], when: datetime, common: Resource) -> None:
        difficulty = [answered("/69722-7", LOINC, "LA6573-5")]
        items, status, version = coded(PHQ, points) + difficulty, "completed", "1"
        if (number, week) == (9, 4):  # the safety item left out, all else answered
            items = coded(PHQ[:8], points[:8])
        if (number, week) in ((16, 2), (17, 5)):  # seven of nine: no score
            items = [item for item in items if item["linkId"] not in ("/44251-7", "/44252-5")]
        if (number, week) in ((19, 3), (20, 6)):  # answers corrected later
            items, status, version = coded(PHQ, [0, *points[1:]]) + difficulty, "amended", "2"
        if (number, week) == (26, 4):  # filled in for another client by mistake
            status, version = "entered-in-error", "2"
        if (number, week) == (27, 11):
            items, status = items[:4], "in-progress"
        if (number, week) == (28, 11):
            items, status = items[:6], "stopped"
        self.form(name, "phq-9", items, when, status=status, version=version, **common)

    def _checkin(self, number: int, week: int, name: str, level: float, when: datetime, common: Resource) -> None:
        items = self._rated(level)
        declined = {(35, 3): 2, (36, 5): 4}.get((number, week), 0)  # two: prorated; four: no score
        for item in items[:declined]:
            item["answer"] = [{"valueCoding": DECLINED}]
        if (number, week) == (37, 8):
            items.append({"linkId": "change", "answer": [{"valueString": "A little more time at the end, please."}]})
        self.form(name, "alliance-checkin", items, when, **common)

    def _points(self, share: float, count: int) -> list[int]:
        return [min(3, max(0, round(self.chance.gauss(share * 3, 0.55)))) for _ in range(count)]

    def _rated(self, level: float) -> list[Resource]:
        points = [min(5, max(1, round(self.chance.gauss(level, 0.25)))) for _ in CHECKIN]
        points[CHECKIN.index("held-back")] = 6 - points[CHECKIN.index("held-back")]  # high means held back
        pairs = zip(CHECKIN, points, strict=True)
        return [answered(link_id, ANSWERS, f"checkin-{point}") for link_id, point in pairs]

    def _faulty(self) -> None:
        """Add forms that are valid FHIR and still must not be scored; each has its reason in README.md."""
        when = START + timedelta(weeks=2, hours=6)
        who = {"source": ref("Patient/client-38"), "author": ref("Patient/client-38")}
        common = {"subject": ref("Patient/client-38")} | who
        fine = coded(PHQ, [1, 1, 0, 1, 0, 1, 0, 0, 0])
        self.form("faulty-no-subject", "phq-9", fine, when, source=who["source"])
        self.form("faulty-subject-in-words", "phq-9", fine, when, **who, subject={"display": "a client"})
        self.form("faulty-no-authored", "phq-9", fine, when, **common, authored=None)
        self.form("faulty-future", "phq-9", fine, when, **common, authored="2031-01-01T09:00:00+01:00")
        self.form("faulty-unknown-form", "", coded(("sleep-1",), [1]), when, **common,
                  questionnaire="https://example.org/fhir/Questionnaire/sleep-diary")  # fmt: skip
        other = {**common, "questionnaire": OTHER_PHQ}
        seven = [{"linkId": "/44250-9", "answer": [{"valueInteger": 7}]}, *fine[1:]]
        self.form("faulty-out-of-range", "", seven, when, **other)
        twice = [{"linkId": "/44250-9", "answer": fine[0]["answer"] + coded(PHQ[:1], [3])[0]["answer"]}, *fine[1:]]
        self.form("faulty-two-answers", "", twice, when, **other)
        wrong = [answered("/44250-9", "https://example.org/fhir/CodeSystem/other", "LA6569-3"), *fine[1:]]
        self.form("faulty-answer-system", "", wrong, when, **other)

    def form(self, name: str, instrument: str, items: list[Resource], when: datetime, /, **elements: Any) -> None:
        """Add a QuestionnaireResponse."""
        canonical = {"questionnaire": f"{OURS}/Questionnaire/{instrument}|1.0.0", "status": "completed"}
        taken = when + timedelta(minutes=1)
        named = canonical | {"authored": when.isoformat()} | elements
        self.add("QuestionnaireResponse", name, taken, **named, item=items)

    def files(self) -> Iterator[tuple[str, list[Resource]]]:
        """Yield file names and what is in them; responses in two files, as a bulk export would."""
        for kind, resources in self.resources.items():
            if kind != "QuestionnaireResponse":
                yield f"{kind}.ndjson", resources
                continue
            resources.sort(key=lambda form: (form["meta"]["lastUpdated"], form["id"]))
            half = len(resources) // 2
            yield f"{kind}.000.ndjson", resources[:half]
            yield f"{kind}.001.ndjson", resources[half:]


def ref(reference: str) -> Resource:
    """Return a Reference."""
    return {"reference": reference}


def therapist_of(number: int) -> int:
    """Return the number of a client's therapist."""
    return (number - 1) % THERAPISTS + 1 if number <= FEW else LATER[number % len(LATER)]


def treat() -> Resource:
    """Return the purpose of treatment."""
    return {"system": REASON, "code": "TREAT"}


def language(number: int) -> str:
    """Return the language that a client fills forms in."""
    return "de" if number in GERMAN else "es" if number in SPANISH else "en"


def spoken(number: int) -> Resource:
    """Return what a client speaks best: the language of the forms, or Turkish, which no form is offered in."""
    code = "tr" if number in TURKISH else language(number)
    return {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]}, "preferred": True}


def answered(link_id: str, system: str, code: str) -> Resource:
    """Return an item with one coded answer."""
    return {"linkId": link_id, "answer": [{"valueCoding": {"system": system, "code": code}}]}


def coded(codes: tuple[str, ...], points: list[int]) -> list[Resource]:
    """Return items of a PHQ or GAD form with these points."""
    return [answered(f"/{code}", LOINC, FREQUENCY[p]) for code, p in zip(codes, points, strict=True)]


def main() -> None:
    """Write the clinic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--clients", type=int, default=40, help="at least 38")
    parser.add_argument("--weeks", type=int, default=WEEKS, help="at least 12")
    chosen = parser.parse_args()
    clinic = Clinic(chosen.seed, max(38, chosen.clients), max(WEEKS, chosen.weeks))
    clinic.make()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, resources in clinic.files():
        lines = [json.dumps(resource, separators=(",", ":"), ensure_ascii=False) for resource in resources]
        (chosen.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
