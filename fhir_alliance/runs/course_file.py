"""Expected courses as files: what `course fit` writes, and what `[rules] courses` names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhir_alliance.config import explain
from fhir_alliance.core.model import Direction
from fhir_alliance.core.rules.chart import Course
from fhir_alliance.errors import StopRun


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Coverage(_Strict):
    """Of scores that the model had not seen, the share inside a band that should hold a share of them."""

    band: float = Field(gt=0, lt=1)
    observed: float = Field(ge=0, le=1)


class SessionError(_Strict):
    """How far predictions were off in a range of sessions, in points: on average, and by the root of mean squares."""

    first_session: int
    last_session: int
    scores: int
    mean_error: float
    root_mean_square: float


class Calibration(_Strict):
    """How well the course predicts clients who were left out when it was fitted. folds: parts that took turns."""

    folds: int
    coverage: tuple[Coverage, ...]
    errors: tuple[SessionError, ...]


class CourseFile(_Strict):
    """The whole of a course's file. It holds no scores and nobody's name."""

    format: Literal["fhir-alliance-course/1"] = "fhir-alliance-course/1"
    instrument: str
    scale: str
    higher_is: Direction
    slope: float
    slope_by_first: float
    slope_sd: float = Field(ge=0)
    residual_sd: float = Field(gt=0)
    first_low: float
    first_high: float
    sessions: int = Field(ge=2)
    clients: int
    scores: int
    source: str = Field(min_length=1)
    calibration: Calibration

    def noun(self) -> Course:
        """Return the course."""
        return Course(**self.model_dump(exclude={"format", "clients", "scores", "calibration"}))


def load_courses(files: Sequence[Path]) -> tuple[Course, ...]:
    """Return the courses in files; raises StopRun FA132 for one that is none, FA133 for two of one scale."""
    found: dict[tuple[str, str], Course] = {}
    for file in files:
        course = read_course(file).noun()
        if (course.instrument, course.scale) in found:
            raise StopRun("FA133", f"{file} is a second course of {course.instrument} {course.scale}.", "Keep one.")
        found[course.instrument, course.scale] = course
    return tuple(found.values())


def read_course(file: Path) -> CourseFile:
    """Return a course's file; raises StopRun FA132."""
    hint = "Make it anew with: fhir-alliance course fit."
    try:
        return CourseFile.model_validate_json(file.read_bytes())
    except OSError as error:
        raise StopRun("FA132", f"{file} cannot be read ({error.strerror}).", hint) from None
    except ValidationError as error:
        raise StopRun("FA132", f"{file} is no expected course: {explain(error)}.", hint) from None
