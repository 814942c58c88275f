"""An expected course for people at a terminal: whom it was fitted on, what it expects, how well it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fhir_alliance.core.rules.chart import Course
from fhir_alliance.core.rules.course import expected, reach

_BAND = 0.8


def course_text(course: Course, file: Mapping[str, Any]) -> RenderableType:
    """Return a course in lines. file: as `course fit` writes it."""
    lines = [Text(f"{course.instrument} {course.scale}, {course.source}, {file['scores']:,} scores", style="bold")]
    lines.append(
        Text(f"It speaks of first scores {course.first_low:g}-{course.first_high:g} and sessions 2-{course.sessions}.")
    )
    middle = (course.first_low + course.first_high) / 2
    for session in sorted({2, (2 + course.sessions) // 2, course.sessions}):
        guess = expected(course, middle, session)
        wide = reach(_BAND) * guess.sd
        low, high = guess.mean - wide, guess.mean + wide
        words = f"  began at {middle:g}, session {session}: {guess.mean:.1f} expected, {_BAND:.0%} of clients in"
        lines.append(Text(f"{words} {low:.1f} to {high:.1f}"))
    lines += [Text(), Text("Clients left out in turn", style="bold")]
    calibration = file["calibration"]
    for part in calibration["coverage"]:
        lines.append(Text(f"  the band for {part['band']:.0%} held {part['observed']:.1%} of their scores"))
    for part in calibration["errors"]:
        words = (
            f"  sessions {part['first_session']}-{part['last_session']}: off by {part['mean_error']:+.2f} on average"
        )
        lines.append(Text(f"{words}, {part['root_mean_square']:.2f} root mean square ({part['scores']:,} scores)"))
    return Group(*lines)
