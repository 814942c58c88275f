"""Expected courses: what is fitted comes back, calibration tells the truth, and too few clients are refused."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fhir_alliance.cli import program
from fhir_alliance.config import Config
from fhir_alliance.core.model import Direction, Rater, Score
from fhir_alliance.core.rules.chart import Course
from fhir_alliance.core.rules.course import expected, reach
from fhir_alliance.core.rules.series import Series
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.course import LEAST_CLIENTS, course_of
from fhir_alliance.runs.course_file import CourseFile, load_courses, read_course
from fhir_alliance.runs.policy import policy_of
from fhir_alliance.testing import response_json

CATALOG = load_catalog()
PHQ = CATALOG.find("phq-9")
START = datetime(2026, 1, 5, tzinfo=UTC)
SLOPE, BY_FIRST, SLOPE_SD, RESIDUAL = -1.0, -0.1, 0.8, 2.0


def made(clients: int, sessions: int = 8, seed: int = 4) -> list[Series]:
    """Return clients who follow a known growth curve; values are not cut to the scale, so that it is exact."""
    chance = random.Random(seed)
    found = []
    for client in range(clients):
        first = chance.randint(5, 25)
        own = SLOPE + BY_FIRST * first + chance.gauss(0, SLOPE_SD)
        points = [first, *(first + own * math.log(j) + chance.gauss(0, RESIDUAL) for j in range(2, sessions + 1))]
        scores = tuple(
            Score(f"{client}-{n}", "phq-9", "1", "total", f"Patient/{client}", Rater.CLIENT, START + timedelta(weeks=n),
                  round(value * 100), 9, 9, 9)
            for n, value in enumerate(points)
        )  # fmt: skip
        series = Series(PHQ, PHQ.scales[0], scores)
        series.__dict__["points"] = tuple(point / 100 for point in series.points)
        found.append(series)
    return found


@pytest.fixture(scope="module")
def fitted() -> CourseFile:
    """A course of 300 made clients."""
    return course_of(made(300), "phq-9", PHQ.scales[0], "made")


def test_the_curve_comes_back(fitted: CourseFile) -> None:
    """From clients who follow a known curve, its slope, its rise with the first score, and both spreads are found."""
    course = fitted.noun()
    for first in (8, 15, 22):
        true = first + (SLOPE + BY_FIRST * first) * math.log(6)
        assert expected(course, first, 6).mean == pytest.approx(true, abs=0.35)
    assert fitted.slope_sd == pytest.approx(SLOPE_SD, abs=0.15)
    assert fitted.residual_sd == pytest.approx(RESIDUAL, abs=0.1)
    assert (fitted.clients, fitted.scores, fitted.sessions) == (300, 2400, 8)
    assert (fitted.first_low, fitted.first_high, fitted.higher_is) == (5, 25, Direction.WORSE)


def test_the_bands_hold_what_they_say(fitted: CourseFile) -> None:
    """Of clients whom the model has not seen, a band holds about the share that it promises, and nobody is favoured."""
    for part in fitted.calibration.coverage:
        assert part.observed == pytest.approx(part.band, abs=0.04)
    assert sum(part.scores for part in fitted.calibration.errors) == 2100
    for error in fitted.calibration.errors:
        assert abs(error.mean_error) < 0.4


def test_a_wrong_curve_shows_in_the_calibration() -> None:
    """Where spread is not what the model can say, here one wild client in four, the narrow band holds too many."""
    wild = made(150)
    for series in wild[::4]:
        first, *later = series.points
        series.__dict__["points"] = (first, *(first + (value - first) * 6 for value in later))
    shares = {p.band: p.observed for p in course_of(wild, "phq-9", PHQ.scales[0], "made").calibration.coverage}
    assert shares[0.5] > 0.6


def test_both_sides_of_the_least_number() -> None:
    """One client fewer than the stated number is refused in plain words; the stated number is enough."""
    enough = made(LEAST_CLIENTS)
    assert course_of(enough, "phq-9", PHQ.scales[0], "made").clients == LEAST_CLIENTS
    with pytest.raises(StopRun, match=rf"FA136 {LEAST_CLIENTS - 1} clients .* needs {LEAST_CLIENTS}"):
        course_of(enough[1:], "phq-9", PHQ.scales[0], "made")


def test_one_first_score_is_refused() -> None:
    """Where all began at the same score, nothing can be said by first score."""
    same = made(LEAST_CLIENTS)
    for series in same:
        series.__dict__["points"] = (10, *series.points[1:])
    with pytest.raises(StopRun, match="FA136 all clients began"):
        course_of(same, "phq-9", PHQ.scales[0], "made")


@pytest.mark.parametrize(("band", "sds"), [(0.8, 1.2816), (0.95, 1.96), (0.68, 0.9945)])
def test_how_far_a_band_reaches(band: float, sds: float) -> None:
    """A band that holds a share of a normal distribution reaches as many deviations as its tables say."""
    assert reach(band) == pytest.approx(sds, abs=0.0005)


def clinic(folder: Path, clients: int) -> None:
    """Write forms of so many clients, four each, falling from session to session."""
    lines = []
    for client in range(clients):
        for session in range(4):
            points = [max(0, 1 + (item < client % 6) - session * (item % 3 > 0)) for item in range(8)] + [0]
            day = (START + timedelta(weeks=session)).strftime("%Y-%m-%dT10:00:00+01:00")
            name = f"r{client}-{session}"
            subject = f"Patient/p{client}"
            lines.append(json.dumps(response_json(points, name=name, subject=subject, authored=day)))
    folder.mkdir()
    (folder / "QuestionnaireResponse.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(*words: object) -> Any:
    """Run a command as a person does."""
    return CliRunner().invoke(program, [str(word) for word in words], catch_exceptions=False)


def test_a_course_is_fitted_to_a_store_and_used(tmp_path: Path) -> None:
    """`course fit` reads the site's own scores, writes a file without any of them, and `[rules] courses` takes it."""
    clinic(tmp_path / "store", 110)
    assert run("sync", "--store", tmp_path / "store").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "store").glob("*.ndjson")}
    out = tmp_path / "phq-9.json"
    done = run("course", "fit", "--store", tmp_path / "store", "--instrument", "phq-9", "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["clients"] == 110
    assert "Patient" not in out.read_text()
    assert before == {path: path.read_bytes() for path in (tmp_path / "store").glob("*.ndjson")}
    assert "110 clients" in run("course", "show", out).stdout
    policy = policy_of(Config.model_validate({"rules": {"courses": [str(out)]}}))
    assert policy.courses == (read_course(out).noun(),)
    assert isinstance(policy.courses[0], Course)


def test_too_few_clients_in_a_store(tmp_path: Path) -> None:
    """Below the stated number the command ends with 10, says so, and leaves no file."""
    clinic(tmp_path / "store", 3)
    run("sync", "--store", tmp_path / "store")
    done = run("course", "fit", "--store", tmp_path / "store", "--instrument", "phq-9", "--out", tmp_path / "c.json")
    assert (done.exit_code, done.stderr.split()[0]) == (10, "FA136")
    assert not (tmp_path / "c.json").exists()


def test_what_is_no_course_is_refused(tmp_path: Path, fitted: CourseFile) -> None:
    """A file that is none, and a second one of the same scale, stop the run with a code."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(fitted.model_dump_json(), encoding="utf-8")
    bad.write_text(fitted.model_dump_json().replace('"residual_sd":', '"residual":'), encoding="utf-8")
    assert load_courses([good]) == (fitted.noun(),)
    for files, code in (([bad], "FA132"), ([tmp_path / "none.json"], "FA132"), ([good, good], "FA133")):
        with pytest.raises(StopRun, match=code):
            load_courses(files)
