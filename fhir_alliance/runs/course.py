"""The story of an expected course: the site's own stored scores, a growth curve, and how well it predicts.

The curve is log-linear growth: after session j, a client who began at b points has changed by (a + c * b + u) * ln(j),
where u tells clients apart. It is fitted as a linear mixed model by restricted maximum likelihood (statsmodels).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from fhir_alliance.core.model import Direction, Instrument, Rater, Scale, Score
from fhir_alliance.core.rules.chart import Course
from fhir_alliance.core.rules.course import expected, reach
from fhir_alliance.core.rules.series import Series, series_of
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.stored_score import read_score
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.change import scale_of
from fhir_alliance.runs.course_file import Calibration, CourseFile, Coverage, SessionError
from fhir_alliance.stores.files import new_file
from fhir_alliance.stores.store import Store

# Chosen by this project, not from a source: fewer give bands that the next hundred clients would move.
LEAST_CLIENTS: Final = 100
LEAST_SCORES: Final = 3  # of one client: a first one, and two that say where it goes
LEAST_AT_SESSION: Final = 20  # clients who are seen at a session, for the course to speak about it
FOLDS: Final = 5
BANDS: Final = (0.5, 0.8, 0.95)
SESSIONS: Final = ((2, 4), (5, 8), (9, 12), (13, 10_000))
_CLIENTS_AT_ONCE: Final = 200


class Fitted(NamedTuple):
    """What the model says: as in `Course`."""

    slope: float
    slope_by_first: float
    slope_sd: float
    residual_sd: float


def fit_course(store: Store, catalog: Catalog, name: str, part: str | None, out: Path, now: datetime) -> CourseFile:
    """Return the expected course of a scale, fitted to the clients' own scores in a store and written to `out`.

    part: the scale; the total by default.  now: aware; the day stands in the course's source.
    Raises StopRun FA101, FA136 (too few clients, or nothing to learn from), FA137 (no statistics library).
    """
    instrument = catalog.find(name)
    scale = scale_of(instrument, part)
    if scale.higher_is is Direction.UNKNOWN:
        raise StopRun("FA136", f"{name} does not say what a higher score means.", "No course can be off track then.")
    courses = [series for series in stored_series(store, instrument, scale) if len(series.points) >= LEAST_SCORES]
    course = course_of(courses, instrument.id, scale, f"fitted on {now:%Y-%m-%d} to the scores in the site's own store")
    with new_file(out) as file:
        file.write(course.model_dump_json(indent=2).encode() + b"\n")
    return course


def course_of(courses: Sequence[Series], instrument: str, scale: Scale, source: str) -> CourseFile:
    """Return the course that series of different clients show; raises StopRun FA136 or FA137."""
    if len(courses) < LEAST_CLIENTS:
        raise StopRun(
            "FA136",
            f"{len(courses)} clients have {LEAST_SCORES} scores or more; a course needs {LEAST_CLIENTS}.",
            "Wait for more, or leave the rule off.",
        )
    firsts = [float(series.points[0]) for series in courses]
    if min(firsts) == max(firsts):
        raise StopRun("FA136", "all clients began at the same score.", "A course by first score needs several.")
    seen = Counter(session for series in courses for session in range(2, len(series.points) + 1))
    sessions = max(session for session, clients in seen.items() if clients >= min(LEAST_AT_SESSION, seen[2]))
    course = Course(
        instrument, scale.id, scale.higher_is, *_fitted(courses, sessions), min(firsts), max(firsts), sessions,
        f"{source}: {len(courses)} clients",
    )  # fmt: skip
    plain = {field: getattr(course, field) for field in course.__struct_fields__}
    scores = sum(min(len(series.points), sessions) for series in courses)
    return CourseFile(**plain, clients=len(courses), scores=scores, calibration=_calibration(courses, course))


def stored_series(store: Store, instrument: Instrument, scale: Scale) -> Iterator[Series]:
    """Yield the clients' own series on one scale, as they stand in a store; a change of language begins another."""
    subjects = sorted(_subjects(store))
    for start in range(0, len(subjects), _CLIENTS_AT_ONCE):
        found = store.about("Observation", subjects[start : start + _CLIENTS_AT_ONCE])
        read = (read_score(resource, {instrument.id: instrument}, store.base) for resource in found)
        yield from series_of([s for s in read if s is not None and _is_own(s, scale)], {instrument.id: instrument})


def _is_own(score: Score, scale: Scale) -> bool:
    return score.scale == scale.id and score.rater is Rater.CLIENT


def _subjects(store: Store) -> set[str]:
    """Return everybody who has answered a form."""
    found = set()
    for page in store.responses("", ()):
        for record in page.records:
            try:
                subject = (orjson.loads(record.body).get("subject") or {}).get("reference", "")
            except (orjson.JSONDecodeError, AttributeError):
                continue  # a sync parks it and says why
            found.add(local(str(subject), store.base))
    return found - {""}


def _fitted(courses: Sequence[Series], sessions: int) -> Fitted:
    """Return the model's numbers; raises StopRun FA136 where it does not settle, FA137 without the library."""
    numpy, mixed = _library()
    rows = [
        (number, float(points - series.points[0]), math.log(session), float(series.points[0]))
        for number, series in enumerate(courses)
        for session, points in enumerate(series.points[1:sessions], start=2)
    ]
    client, change, time, first = (numpy.array(column) for column in zip(*rows, strict=True))
    centre = first.mean()
    fixed = numpy.column_stack([time, (first - centre) * time])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a random slope of zero is told by the numbers, and refusals below
        model = mixed(change, fixed, groups=client, exog_re=time.reshape(-1, 1))
        result = model.fit(reml=True, method=["powell", "nm"])  # without derivatives: others stop at a singular matrix
    slope, by_first = (float(number) for number in result.fe_params)
    variances = float(result.cov_re[0][0]), float(result.scale)
    if not result.converged or not all(map(math.isfinite, (slope, by_first, *variances))) or variances[1] <= 0:
        raise StopRun("FA136", "the growth curve does not settle on these scores.", "Leave the rule off.")
    return Fitted(slope - by_first * float(centre), by_first, math.sqrt(max(variances[0], 0)), math.sqrt(variances[1]))


def _library() -> tuple[Any, Any]:
    try:
        import numpy
        from statsmodels.regression.mixed_linear_model import MixedLM
    except ImportError:
        raise StopRun("FA137", "a course is fitted by statsmodels.", "pip install 'fhir-alliance[course]'") from None
    return numpy, MixedLM


def _calibration(courses: Sequence[Series], course: Course) -> Calibration:
    """Return how well clients are predicted by a course that was fitted without them."""
    errors: list[tuple[int, float, float]] = []  # session, points that it was off, and their standard deviation
    for fold in range(FOLDS):
        others = [series for number, series in enumerate(courses) if number % FOLDS != fold]
        blind = Course(**{**_fields(course), **_fitted(others, course.sessions)._asdict()})
        for series in courses[fold::FOLDS]:
            for session, points in enumerate(series.points[1 : course.sessions], start=2):
                guess = expected(blind, float(series.points[0]), session)
                errors.append((session, float(points) - guess.mean, guess.sd))
    coverage = tuple(
        Coverage(band=band, observed=sum(abs(off) <= reach(band) * sd for _, off, sd in errors) / len(errors))
        for band in BANDS
    )
    return Calibration(folds=FOLDS, coverage=coverage, errors=tuple(_errors(errors)))


def _fields(course: Course) -> dict[str, Any]:
    return {field: getattr(course, field) for field in course.__struct_fields__}


def _errors(errors: Sequence[tuple[int, float, float]]) -> Iterator[SessionError]:
    for first, last in SESSIONS:
        off = [error for session, error, _ in errors if first <= session <= last]
        if off:
            last = max(session for session, _, _ in errors if session <= last)
            yield SessionError(
                first_session=first, last_session=last, scores=len(off), mean_error=sum(off) / len(off),
                root_mean_square=math.sqrt(sum(error * error for error in off) / len(off)),
            )  # fmt: skip
