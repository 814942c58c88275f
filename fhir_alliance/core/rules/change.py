"""Reliable change against the client's first score, told when it is new: deterioration; improvement and recovery."""

from __future__ import annotations

from decimal import Decimal

from fhir_alliance.core.change import Change, ChangeClass, How, Pair, basis, change
from fhir_alliance.core.change_methods import Gap, NotComputable
from fhir_alliance.core.change_methods import least_change as computed_change
from fhir_alliance.core.change_settings import Asked, Published, settle
from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Finding
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.page import Moment, Note

DETERIORATION = "reliable-deterioration"
IMPROVEMENT = "reliable-improvement"
LANGUAGE = "language-changed"
_WORSE = (ChangeClass.DETERIORATED, ChangeClass.HARMED)
_BETTER = {ChangeClass.IMPROVED: 1, ChangeClass.RECOVERED: 2}


def reliable_deterioration(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when the client is newly worse than at first, beyond measurement error."""
    now = _noted(moment, note)
    if now is None or now.kind not in _WORSE:
        return None
    before = class_at(moment, moment.at - 1)
    note("class at the score before", before.kind if before else "none")
    if before is not None and before.kind in _WORSE:
        return None
    return moment.finding(DETERIORATION, _words(moment, now), AGENDA["worse"])


def reliable_improvement(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when the client has newly improved or recovered, beyond measurement error."""
    now = _noted(moment, note)
    if now is None or now.kind not in _BETTER:
        return None
    before = class_at(moment, moment.at - 1)
    note("class at the score before", before.kind if before else "none")
    if before is not None and _BETTER.get(before.kind, 0) >= _BETTER[now.kind]:
        return None
    return moment.finding(IMPROVEMENT, _words(moment, now), AGENDA["better"])


def language_changed(moment: Moment, note: Note) -> Finding | None:
    """Return the refusal to compare with forms in another language, at the first form in the new one."""
    note("an earlier series of this scale is in another language", moment.series.changed_language)
    if not moment.series.changed_language or moment.at:
        return None
    words = (
        f"{moment.series.scale.title}: this form was answered in another language than earlier ones. Change is not "
        "computed across languages; it is counted anew from here."
    )
    return moment.finding(LANGUAGE, words, AGENDA["regular"])


def least_change(moment: Moment) -> Decimal | None:
    """Return the smallest reliable change of the scale in points: chosen, published, or computed; None if unknown."""
    return moment.page.kept(("least", id(moment.series)), lambda: _least(_how(moment)))


def class_at(moment: Moment, at: int) -> Change | None:
    """Return the change from the first score to one up to the moment; None at the first, or where it is not known."""
    if at < 1 or not moment.is_outcome:
        return None
    return moment.page.kept(("class", id(moment.series), at), lambda: _class(moment, at))


def _class(moment: Moment, at: int) -> Change | None:
    how = _how(moment)
    if isinstance(how, NotComputable) or _least(how) is None:
        return None
    points = moment.series.points
    found = change(Pair(points[0], points[at]), how)
    return None if isinstance(found, NotComputable) else found


def _how(moment: Moment) -> How | NotComputable:
    def reckon() -> How | NotComputable:
        series, settings = moment.series, moment.page.settings
        name, scale = series.instrument.id, series.scale
        return settle(Asked(), Published(scale.higher_is, settings.line(name, scale), settings.change(name, scale)))

    return moment.page.kept(("how", id(moment.series)), reckon)


def _least(how: How | NotComputable) -> Decimal | None:
    if isinstance(how, NotComputable):
        return None
    if how.reliable_change is not None:
        return Decimal(how.reliable_change.value)
    try:
        return computed_change(how.group)
    except Gap:
        return None


def _noted(moment: Moment, note: Note) -> Change | None:
    """Return the class of the moment's score, with what it rests on told."""
    note("an outcome scale with a direction", moment.is_outcome)
    note("smallest reliable change in points", least_change(moment) if moment.is_outcome else None)
    note("first score", moment.series.points[0])
    note("this score", moment.points)
    found = class_at(moment, moment.at)
    note("class against the first score", found.kind if found else "none")
    return found


def _words(moment: Moment, now: Change) -> str:
    """Return the change in words: how far, against what, by which number; and the line where it was crossed."""
    how, first = _how(moment), moment.series.points[0]
    size, side = plain(abs(now.points)), "better" if now.points > 0 else "worse"
    grounds = "" if isinstance(how, NotComputable) else f", by {basis(how)}"
    crossed = now.kind in (ChangeClass.RECOVERED, ChangeClass.HARMED)
    words = f"{moment.series.scale.title} is {plain(moment.points)}, {size} points {side} than the first score of "
    line = f" It crossed the cut-off of {plain(now.cutoff.value)}: {now.kind.value}." if crossed and now.cutoff else ""
    return f"{words}{plain(first)}{grounds}.{line}"
