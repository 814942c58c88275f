"""Reliable change against the client's first score, told when it is new: deterioration; improvement and recovery."""

from __future__ import annotations

from decimal import Decimal

from fhir_alliance.core.change import Change, ChangeClass, How, Pair, basis, change, class_of
from fhir_alliance.core.change_methods import Gap, NotComputable
from fhir_alliance.core.change_methods import least_change as computed_change
from fhir_alliance.core.change_settings import Asked, Published, settle
from fhir_alliance.core.cutoffs import plain, sign
from fhir_alliance.core.model import Finding
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.page import Moment, Note, is_asked

DETERIORATION = "reliable-deterioration"
IMPROVEMENT = "reliable-improvement"
LANGUAGE = "language-changed"
_WORSE = (ChangeClass.DETERIORATED, ChangeClass.HARMED)
_BETTER = {ChangeClass.IMPROVED: 1, ChangeClass.RECOVERED: 2}


def reliable_deterioration(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when the client is newly worse than at first, beyond measurement error."""
    now = _noted(moment, note, -1)
    if now is None or now not in _WORSE:
        return None
    before = class_at(moment, moment.at - 1)
    note("class at the score before", before or "none")
    if before is not None and before in _WORSE:
        return None
    return moment.finding(DETERIORATION, _words(moment, now), AGENDA["worse"])


def reliable_improvement(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when the client has newly improved or recovered, beyond measurement error."""
    now = _noted(moment, note, 1)
    if now is None or now not in _BETTER:
        return None
    before = class_at(moment, moment.at - 1)
    note("class at the score before", before or "none")
    if before is not None and _BETTER.get(before, 0) >= _BETTER[now]:
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


def class_at(moment: Moment, at: int) -> ChangeClass | None:
    """Return the class of the change from the first score to one up to the moment; None where there is none."""
    if at < 1 or not moment.is_outcome:
        return None
    return moment.page.kept(("class", id(moment.series), at), lambda: _class(moment, at))


def change_of(moment: Moment) -> Change | None:
    """Return the change from the first score to the moment's in full; None where there is none."""
    how = _how(moment)
    if class_at(moment, moment.at) is None or isinstance(how, NotComputable):
        return None
    found = change(Pair(moment.series.points[0], moment.points), how)
    return None if isinstance(found, NotComputable) else found


def _class(moment: Moment, at: int) -> ChangeClass | None:
    how = _how(moment)
    if isinstance(how, NotComputable) or _least(how) is None:
        return None
    points = moment.series.points
    found = class_of(Pair(points[0], points[at]), how)
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


def _noted(moment: Moment, note: Note, toward: int) -> ChangeClass | None:
    """Return the class of the moment's score, with what it rests on told. toward: 1 better, -1 worse is looked for."""
    note("an outcome scale with a direction", moment.is_outcome)
    if not moment.is_outcome:
        return None
    least, first = least_change(moment), moment.series.points[0]
    note("smallest reliable change in points", least)
    note("first score", first)
    note("this score", moment.points)
    moved = toward * sign(moment.series.scale.higher_is) * (moment.points - first)
    if least is None or (moved <= 0 and not is_asked(note)):
        return None
    found = class_at(moment, moment.at)
    note("class against the first score", found or "none")
    return found


def _words(moment: Moment, now: ChangeClass) -> str:
    """Return the change in words: how far, against what, by which number; and the line where it was crossed."""
    how, first = _how(moment), moment.series.points[0]
    size, is_better = plain(abs(Decimal(moment.points - first))), now in _BETTER
    grounds = "" if isinstance(how, NotComputable) else f", by {basis(how)}"
    cutoff = None if isinstance(how, NotComputable) else how.cutoff
    crossed = cutoff is not None and now in (ChangeClass.RECOVERED, ChangeClass.HARMED)
    line = f" It crossed the cut-off of {plain(cutoff.value)}: {now.value}." if crossed and cutoff else ""
    words = f"{moment.series.scale.title} is {plain(moment.points)}, {size} points {'better' if is_better else 'worse'}"
    return f"{words} than the first score of {plain(first)}{grounds}.{line}"
