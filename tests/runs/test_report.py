"""Reports on a folder, by the command: reproducible, restated, gated, protected."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance.cli import program
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.case_list import case_list
from fhir_alliance.runs.demo import demo
from fhir_alliance.runs.supervision import reader_of
from fhir_alliance.runs.supervision_files import write_assessments, write_caseload

Report = Callable[..., Result]
Q1 = ("--period", "2026-Q1")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example clinic, scored once."""
    folder = tmp_path_factory.mktemp("demo") / "clinic"
    demo(folder)
    return folder


@pytest.fixture
def clinic(scored: Path, tmp_path: Path) -> Path:
    """A copy of the scored clinic that a test may change."""
    folder = tmp_path / "clinic"
    shutil.copytree(scored, folder)
    return folder


@pytest.fixture
def report(clinic: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Report:
    """Call `report` with words and the clinic as store; the result has to be good unless `status` says otherwise."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> Result:
        done = CliRunner().invoke(program, ["report", *words, "--store", str(clinic)])
        assert done.exit_code == status, done.output
        return done

    return run


def held(folder: Path) -> dict[str, str]:
    """Return the digest of each file in a folder."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def manifest(folder: Path) -> dict[str, Any]:
    """Return a report's manifest."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return found


def counts(folder: Path, group: str = "rate") -> dict[str, Any]:
    """Return the populations of a report."""
    found: dict[str, Any] = manifest(folder)["results"][group]
    return found


def test_the_same_input_gives_the_same_bytes(report: Report, tmp_path: Path) -> None:
    """Twice into one folder, and once into another: every file is the same to the byte."""
    for folder in ("one", "one", "two"):
        report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", folder)
    assert held(tmp_path / "one") == held(tmp_path / "two")


def test_the_order_of_files_and_lines_does_not_matter(report: Report, clinic: Path, tmp_path: Path) -> None:
    """The same resources in other files and another order give the same report."""
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "one")
    lines = (clinic / "Encounter.ndjson").read_text().splitlines()
    (clinic / "Encounter.ndjson").write_text("\n".join(reversed(lines[200:])) + "\n")
    (clinic / "Encounter.000.ndjson").write_text("\n".join(reversed(lines[:200])) + "\n")
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "two")
    assert held(tmp_path / "one") == held(tmp_path / "two")


def test_what_is_written_is_fhir(report: Report, tmp_path: Path) -> None:
    """All resources of a report are read by an independent FHIR library."""
    report("run", "nhs-talking-therapies", *Q1, "--as", "supervisor", "--out", "out")
    texts = [(tmp_path / "out" / f"{name}.json").read_text() for name in ("summary", "subject-list", "measure")]
    texts += (tmp_path / "out" / "individual.ndjson").read_text().splitlines()
    for text in texts:
        resource = json.loads(text)
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_a_summary_says_what_the_people_add_up_to(report: Report, tmp_path: Path) -> None:
    """Individual reports, the subject list and the summary count the same."""
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out")
    people = [json.loads(line) for line in (tmp_path / "out" / "individual.ndjson").read_text().splitlines()]
    listed = json.loads((tmp_path / "out" / "subject-list.json").read_text())
    for code in ("initial-population", "denominator", "numerator"):
        found = sum(p["count"] for one in people for p in one["group"][0]["population"] if coded(p) == code)
        [contained] = [c for c in listed["contained"] if c["id"] == f"rate-{code}"]
        assert found == counts(tmp_path / "out")[code] == len(contained["entry"])


def coded(population: dict[str, Any]) -> str:
    """Return a population's code."""
    return str(population["code"]["coding"][0]["code"])


def test_a_restated_report_says_what_changed_and_why(report: Report, clinic: Path, tmp_path: Path) -> None:
    """After an amendment the report names the numbers before and now; without one it says nothing."""
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out")
    assert manifest(tmp_path / "out")["restates"] is None
    before = counts(tmp_path / "out")["numerator"]
    path = clinic / "Observation.fhir-alliance.ndjson"
    scores = [json.loads(line) for line in path.read_text().splitlines()]
    for score in scores:
        if any(c["code"] == "phq-9-total" for c in score["code"]["coding"]) and "valueQuantity" in score:
            score["valueQuantity"]["value"] = 12
            score |= {"status": "amended", "meta": {**score["meta"], "lastUpdated": "2026-05-01T08:00:00Z"}}
    path.write_text("\n".join(json.dumps(score) for score in scores) + "\n")
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out")
    told = manifest(tmp_path / "out")
    assert {"group": "rate", "population": "numerator", "before": before, "after": 0} in told["restates"]["changes"]
    assert "the record has changed" in told["restates"]["why"]
    assert told["bad_input"]["amended-after-period"]["count"] > 0
    assert "restates an earlier one" in (tmp_path / "out" / "report.html").read_text()


def test_who_does_not_consent_is_left_out_and_counted(report: Report, clinic: Path, tmp_path: Path) -> None:
    """A deny for quality improvement keeps a person from the quality report, and not from the supervisor's."""
    for audience in ("quality", "supervisor"):
        report("run", "outcome-by-mode", *Q1, "--as", audience, "--out", f"before-{audience}")
    deny(clinic, "client-05", "HQUALIMP")
    for audience in ("quality", "supervisor"):
        report("run", "outcome-by-mode", *Q1, "--as", audience, "--out", f"after-{audience}")
    names = [json.loads(line)["subject"]["reference"] for line in read(tmp_path / "after-supervisor/individual.ndjson")]
    assert "Patient/client-05" in names
    before, after = manifest(tmp_path / "before-quality"), manifest(tmp_path / "after-quality")
    assert before["withheld"].keys() == after["withheld"].keys()
    whole = {name: counts(tmp_path / f"{name}-quality")["initial-population"] for name in ("before", "after")}
    assert whole["after"] in (whole["before"] - 1, "masked")
    html = (tmp_path / "after-quality" / "report.html").read_text()
    assert "left out, because consent does not allow it" in html


def test_who_is_kept_from_a_client_is_shown_nothing_of_them(report: Report, clinic: Path, tmp_path: Path) -> None:
    """A supervisor on the site's list of exclusions sees nothing of that client; nor does an unnamed one."""
    (tmp_path / "roles.toml").write_text(
        '[[person]]\nreferences = ["Practitioner/lea", "PractitionerRole/lea-here"]\n'
        '[[exclude]]\nwho = "Practitioner/lea"\nclient = "Patient/client-05"\nreason = "dual-relationship"\n'
    )
    (tmp_path / "fhir-alliance.toml").write_text("[consent]\nroles = 'roles.toml'\n")
    readers = {"": 1, "Practitioner/lea": 1, "PractitionerRole/lea-here": 1, "Practitioner/sue": 0}
    told = "the site's list or a rule that no Consent lifts forbids it"
    for number, (reader, left_out) in enumerate(readers.items()):
        audience = f"supervisor:{reader}" if reader else "supervisor"
        done = report("run", "outcome-by-mode", *Q1, "--as", audience, "--json", "--out", f"run-{number}")
        assert json.loads(done.stdout)["withheld"].get(told, 0) == left_out, audience
        named = ("--reader", reader) if reader else ()
        report("caseload", "--on", "2026-04-20", *named, "--out", f"case-{number}")
        page = (tmp_path / f"case-{number}" / "caseload.html").read_text()
        row = page[page.index("client-05") :].partition("</tr>")[0] if "client-05" in page else "kept by consent"
        assert ("kept by consent" in row) == bool(left_out), audience


@pytest.mark.parametrize("reader", ["lea", "Patient/p1", "Practitioner/"])
def test_a_reader_is_somebody_who_works_there(report: Report, reader: str) -> None:
    """Who reads is named as a Practitioner or PractitionerRole; anything else is refused before anything is read."""
    assert "FA712" in report("caseload", "--on", "2026-04-20", "--reader", reader, "--out", "out", status=10).stderr


def test_a_denial_in_a_merged_record_leaves_the_person_out(report: Report, clinic: Path, tmp_path: Path) -> None:
    """Who denied operations in a record that was later merged is in no report of the record that stands."""
    words = ("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--json", "--out")
    deny(clinic, "before", "TREAT")
    before = json.loads(report(*words, "one").stdout)
    path = clinic / "Patient.ndjson"
    patients = [json.loads(line) for line in path.read_text().splitlines()]
    [client] = [patient for patient in patients if patient["id"] == "client-05"]
    client["link"] = [{"other": {"reference": "Patient/before"}, "type": "replaces"}]
    path.write_text("\n".join(json.dumps(patient) for patient in patients) + "\n")
    after = json.loads(report(*words, "two").stdout)
    told = "a Consent forbids it, or cannot be evaluated"
    assert after["withheld"][told] == before["withheld"][told] + 1


def test_consent_that_cannot_be_read_stops_the_report(report: Report, clinic: Path, tmp_path: Path) -> None:
    """One broken Consent and nothing is shared; nothing is written either."""
    with (clinic / "Consent.ndjson").open("a") as out:
        out.write('{"resourceType": "Consent", "status": \n')
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out", status=23)
    assert not (tmp_path / "out").exists()


def test_what_a_client_keeps_from_the_supervisor_stays_out(report: Report, clinic: Path, tmp_path: Path) -> None:
    """A score with that label counts for nobody's supervisor."""
    path = clinic / "Observation.fhir-alliance.ndjson"
    scores = [json.loads(line) for line in path.read_text().splitlines()]
    label = {"system": "https://fhir-alliance.org/fhir/CodeSystem/terms", "code": "withheld-from-supervisor"}
    for score in scores:
        score["meta"]["security"].append(label)
    path.write_text("\n".join(json.dumps(score) for score in scores) + "\n")
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out")
    assert counts(tmp_path / "out")["initial-population"] == 0


def test_an_insurer_gets_no_person_and_nothing_of_the_alliance(report: Report, tmp_path: Path) -> None:
    """No file for an insurer names a client; a measure of the alliance is refused."""
    report("run", "outcome-by-mode", *Q1, "--as", "insurer:ACME", "--out", "out")
    for path in (tmp_path / "out").iterdir():
        assert "client-" not in path.read_text()
        assert "alliance-checkin" not in path.read_text()
    done = report("run", "alliance-early", *Q1, "--as", "insurer:ACME", "--out", "other", status=10)
    assert "FA715" in done.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("audience", ["quality", "insurer:ACME"])
def test_no_count_of_1_to_10_leaves(report: Report, tmp_path: Path, audience: str) -> None:
    """Neither the table, nor FHIR, nor the manifest shows one; masked ones say so in FHIR."""
    report("run", "outcome-by-mode", *Q1, "--as", audience, "--out", "out")
    rows = [line.split(",") for line in read(tmp_path / "out" / "tally.csv")[1:]]
    assert not [row for row in rows if row[3].isdigit() and 1 <= int(row[3]) <= 10]
    assert [row for row in rows if row[3] == "masked"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    populations = [p for s in summary["group"][0]["stratifier"] for x in s["stratum"] for p in x["population"]]
    masked = [p for p in populations if "count" not in p]
    assert masked
    assert all(p["_count"]["extension"][0]["valueCode"] == "masked" for p in masked)
    assert not [p for p in populations if 1 <= p.get("count", 0) <= 10]


def test_an_earlier_report_that_was_tampered_with_is_refused(report: Report, tmp_path: Path) -> None:
    """What readers have is taken from a report only where its table is what its manifest says."""
    report("run", "outcome-by-mode", *Q1, "--as", "quality", "--out", "out")
    table = tmp_path / "out" / "tally.csv"
    table.write_text(table.read_text().replace("37", "36"))
    done = report("run", "outcome-by-mode", *Q1, "--as", "quality", "--out", "out", status=10)
    assert "FA717" in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("cms999", *Q1, "--as", "supervisor"), "FA713"),
        (("outcome-by-mode", "--period", "2026-Q5", "--as", "supervisor"), "FA711"),
        (("outcome-by-mode", *Q1, "--as", "insurer"), "FA712"),
        (("outcome-by-mode", *Q1, "--as", "everybody"), "FA712"),
        (("outcome-by-mode", *Q1, "--as", "supervisor", "--cut", "soon"), "FA716"),
        (("cms159", *Q1, "--as", "supervisor"), "FA714"),
    ],
)
def test_what_is_asked_wrongly_is_told(report: Report, words: tuple[str, ...], code: str) -> None:
    """Each mistake has its code, and nothing is written."""
    assert code in report("run", *words, "--out", "out", status=10).stderr


def test_the_caseload_tells_of_safety_whatever_consent_says(report: Report, clinic: Path, tmp_path: Path) -> None:
    """A client who keeps everything from the supervisor is told of by open safety reviews, and by nothing else."""
    asked = ("caseload", "--on", "2026-04-20", "--out", "out", "--json")
    before = json.loads(report(*asked).stdout)
    [client] = {t["for"]["reference"] for t in tasks(clinic, "safety-review") if t["for"]["reference"].endswith("-08")}
    deny(clinic, client.removeprefix("Patient/"), "TREAT")
    after = json.loads(report(*asked).stdout)
    assert after["unreviewed_safety"] == before["unreviewed_safety"] > 0
    assert after["withheld"] == before["withheld"] + 1
    row = next(line for line in read(tmp_path / "out" / "caseload.csv") if line.startswith(f"{client},"))
    assert "kept by consent" in row
    resource = json.loads((tmp_path / "out" / "caseload.json").read_text())
    get_fhir_model_class("List").model_validate(resource)
    [entry] = [e for e in resource["entry"] if e["item"]["reference"] == client]
    assert [coding["code"] for coding in entry["flag"]["coding"]] == ["unreviewed-safety"]


def test_reviews_are_counted_in_the_month_in_which_they_were_due(report: Report, tmp_path: Path) -> None:
    """Each review falls to one month of the period, and the months are all of them."""
    report("run", "reviews-in-time", "--period", "2026", "--as", "supervisor", "--out", "out")
    rows = [line.split(",") for line in read(tmp_path / "out" / "tally.csv")]
    months = {row[1]: int(row[3]) for row in rows if row[1].startswith("month:") and row[2] == "denominator"}
    assert list(months) == ["month:2026-03", "month:2026-04"]
    assert sum(months.values()) == counts(tmp_path / "out")["denominator"] == 39


def test_a_page_for_supervision_draws_first_and_last_scores(report: Report, tmp_path: Path) -> None:
    """The supervisor's page has the scatter of the clinic's real scores; no other reader's page has."""
    for audience in ("supervisor", "quality", "insurer:ACME"):
        report("run", "outcome-by-mode", *Q1, "--as", audience, "--out", audience[:7])
        html = (tmp_path / audience[:7] / "report.html").read_text()
        assert ("PHQ-9 total: first and last score" in html) == (audience == "supervisor")


def test_a_clinic_of_few_therapists_is_told_nothing_of_them(report: Report) -> None:
    """Four therapists of ten clients each are refused."""
    assert "FA718" in report("therapists", "outcome-by-mode", *Q1, "--out", "out", status=10).stderr


def test_a_reader_is_named_by_a_reference() -> None:
    """What names nobody is refused in the words of its own option."""
    with pytest.raises(StopRun, match="names no reader"):
        reader_of("therapist-1")


def test_shares_of_therapists_are_shares_of_people(report: Report) -> None:
    """A measure that counts reviews is refused: several of one client are no several clients."""
    assert "FA721" in report("therapists", "reviews-in-time", *Q1, "--out", "out", status=10).stderr


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of the larger example clinic, in which five of eight therapists have clients enough."""
    folder = tmp_path_factory.mktemp("crowded") / "clinic"
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "half_year.py"))
    example["half_year"](folder, months=3)
    return folder


def test_therapists_of_a_larger_clinic_are_drawn_without_names(
    crowded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From scored forms to the page: a shape for each of five therapists, their shares beside it, no name in it."""
    monkeypatch.chdir(tmp_path)
    words = ["report", "therapists", "outcome-by-mode", "--store", str(crowded), *Q1, "--out", "out", "--json"]
    done = CliRunner().invoke(program, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [one["therapist"] for one in told["therapists"]] == [f"Practitioner/therapist-{n}" for n in (1, 2, 6, 7, 8)]
    assert (told["refused"], told["withheld"]) == (3, 2)
    assert all(one["interval"][0] < told["overall"] < one["interval"][1] for one in told["therapists"])
    html = (tmp_path / "out" / "therapists.html").read_text()
    table = read(tmp_path / "out" / "therapists.csv")
    assert table[0] == "therapist,share,low,high"
    first = told["therapists"][0]
    assert [float(cell) for cell in table[1].split(",")[1:]] == [first["share"], *first["interval"]]
    assert '<th scope="col">Clients</th>' not in html
    drawing = html[html.index("<svg") : html.index("</details>")]
    assert "therapist-" not in drawing
    assert "5 therapists around" in drawing


def test_evidence_goes_from_score_to_goal(report: Report, clinic: Path, tmp_path: Path) -> None:
    """A review that was completed with a decision stands in the accreditor's table with its score and goal."""
    found = [task for task in tasks(clinic, "goal-review") if task.get("reasonReference")]
    path = clinic / "Task.fhir-alliance.ndjson"
    every = [json.loads(line) for line in path.read_text().splitlines()]
    for task in every:
        if task["id"] == found[0]["id"]:
            task |= {"status": "completed", "executionPeriod": {"end": "2026-03-31"}}
    path.write_text("\n".join(json.dumps(task) for task in every) + "\n")
    counted = json.loads(report("accreditation", *Q1, "--out", "out", "--json").stdout)["counts"]
    assert counted["of all reviews, completed (EP 2)"] == 1
    assert any(
        f"Task/{found[0]['id']},the score,2026-03-31" in line for line in read(tmp_path / "out" / "accreditation.csv")
    )
    html = (tmp_path / "out" / "accreditation.html").read_text()
    assert f"<bdi>{found[0]['id'][:8]}…</bdi>" in html
    assert "Scores without a review: 570." in html


def test_the_caseload_begins_with_safety_then_with_who_is_not_on_track(report: Report, tmp_path: Path) -> None:
    """A supervisor reads from the top: unreviewed safety answers, then who is not on track, then the rest by name."""
    done = report("caseload", "--on", "2026-04-20", "--out", "out")
    _, *rows = csv.reader(read(tmp_path / "out" / "caseload.csv"))
    open_kinds = ["safety" if row[2] else "track" if row[3] else "other" for row in rows]
    assert open_kinds == sorted(open_kinds, key=["safety", "track", "other"].index)
    assert {"safety", "track", "other"} == set(open_kinds)
    assert "4 safety answers that nobody has reviewed" in done.stderr
    assert "Written into out: caseload.csv, caseload.html, caseload.json" in done.stderr


def test_an_empty_caseload_is_no_all_clear() -> None:
    """The List says that nothing is open in the record, and uses no code by which a clinician would have judged so."""
    resource = case_list((), date(2026, 3, 2))
    get_fhir_model_class("List").model_validate(resource)
    assert resource["emptyReason"] == {"text": "Nothing is open in the record. This is no all-clear."}


def test_a_report_that_restates_without_a_changed_count_says_so(report: Report, clinic: Path, tmp_path: Path) -> None:
    """The record has changed, and no number with it: the page says both."""
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out")
    path = clinic / "Patient.ndjson"
    path.write_text(path.read_text().replace("Muster-01", "Beispiel-01"))
    report("run", "outcome-by-mode", *Q1, "--as", "supervisor", "--out", "out")
    html = (tmp_path / "out" / "report.html").read_text()
    assert "Why: the record has changed." in html
    assert "No count for everybody changed." in html


def test_assessments_are_evidence_and_never_a_bill(report: Report, tmp_path: Path) -> None:
    """Each row has instrument, score and interpretation, says that it is no bill, and none is about the alliance."""
    report("assessments", *Q1, "--out", "out")
    head, *rows = read(tmp_path / "out" / "assessments.csv")
    assert head.startswith("day,client,instrument,score,interpretation")
    assert rows
    assert all("not a bill" in row for row in rows)
    assert not [row for row in rows if "lliance" in row]


def read(path: Path) -> list[str]:
    """Return a file's lines."""
    return path.read_text(encoding="utf-8-sig").splitlines()


def test_tables_open_in_a_spreadsheet(tmp_path: Path) -> None:
    """Tables that supervisors open begin with UTF-8's mark."""
    write_caseload([], date(2026, 3, 31), tmp_path)
    write_assessments([], 0, tmp_path)
    tables = sorted(tmp_path.glob("*.csv"))
    assert [table.name for table in tables] == ["assessments.csv", "caseload.csv"]
    assert all(table.read_bytes().startswith(b"\xef\xbb\xbf") for table in tables)


def tasks(clinic: Path, code: str) -> list[dict[str, Any]]:
    """Return the clinic's Tasks of a kind."""
    every = [json.loads(line) for line in read(clinic / "Task.fhir-alliance.ndjson")]
    return [task for task in every if task["code"]["coding"][0]["code"] == code]


def deny(clinic: Path, client: str, purpose: str) -> None:
    """Put a Consent on record by which a client denies a purpose."""
    code = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": purpose}
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    optin = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
    consent = {
        "resourceType": "Consent",
        "id": f"no-{client}",
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{client}"},
        "dateTime": "2026-01-01",
        "policyRule": {"coding": [optin]},
        "provision": {"provision": [{"type": "deny", "purpose": [code]}]},
    }
    with (clinic / "Consent.ndjson").open("a") as out:
        out.write(json.dumps(consent) + "\n")


def test_a_pdf_and_parquet_are_written_on_demand(report: Report, tmp_path: Path) -> None:
    """Both are the same to the byte each time; the Parquet table has the numbers of the CSV, masked ones as null."""
    for folder in ("one", "two"):
        report("run", "outcome-by-mode", *Q1, "--as", "insurer:ACME", "--out", folder, "--pdf", "--parquet")
    assert held(tmp_path / "one") == held(tmp_path / "two")
    assert (tmp_path / "one" / "report.pdf").read_bytes().startswith(b"%PDF-")
    table = pq.read_table(tmp_path / "one" / "tally.parquet").to_pylist()
    shown = ["masked" if row["masked"] else str(row["count"]) for row in table]
    assert shown == [line.split(",")[3] for line in read(tmp_path / "one" / "tally.csv")[1:]]
    assert all((row["count"] is None) == row["masked"] for row in table)
