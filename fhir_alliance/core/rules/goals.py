"""Goals: a target on a score that is reached, and a date that has passed. Neither changes a Goal; a person does."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fhir_alliance.core.cutoffs import plain
from fhir_alliance.core.model import Finding
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.core.rules.chart import GoalTarget
from fhir_alliance.core.rules.page import Moment, Note, Page
from fhir_alliance.core.rules.series import Series

REACHED = "goal-reached"
OVERDUE = "goal-overdue"


def goal_reached(moment: Moment, note: Note) -> Finding | None:
    """Return a finding when a score newly lies within the target of one of the client's goals."""
    targets = [goal for goal in moment.page.chart.goals if _is_about(goal, moment.series)]
    note("goals with a target on this scale", len(targets))
    for goal in sorted(targets, key=lambda target: target.goal):
        points = moment.series.points
        note(f"{goal.goal}: reached now", goal.is_reached(points[moment.at]))
        if goal.is_reached(points[moment.at]) and not (moment.at and goal.is_reached(points[moment.at - 1])):
            words = f"{moment.series.scale.title} is {plain(moment.points)}, within the target of {goal.goal}."
            return moment.finding(REACHED, words, AGENDA["better"], focus=goal.goal)
    return None


def goal_overdue(page: Page, now: datetime, note: Note) -> Finding | None:
    """Return a finding for the goal that is overdue longest: its day has passed, and no score says it is reached."""
    grace = timedelta(days=page.settings.goal_grace_days)
    for goal in sorted(page.chart.goals, key=lambda target: (str(target.due), target.goal)):
        if goal.due is None or now.date() <= goal.due + grace or _stands_reached(page, goal):
            continue
        note("overdue", goal.goal)
        words = f"{goal.goal} was to be reached by {goal.due:%d %B %Y}, and no score says that it is."
        found = page.by_day(OVERDUE, f"{goal.goal}|{goal.due}", words, AGENDA["overdue"], now)
        return msgspec.structs.replace(found, focus=goal.goal)
    note("goals whose day has passed", 0)
    return None


def _is_about(goal: GoalTarget, series: Series) -> bool:
    """Return whether a target is on this scale; a rating of goals counts only for the goal that it is about."""
    focus = series.scores[0].focus
    named = (goal.instrument, goal.scale) == (series.instrument.id, series.scale.id)
    return goal.is_measured and named and focus in ("", goal.goal)


def _stands_reached(page: Page, goal: GoalTarget) -> bool:
    return any(_is_about(goal, series) and goal.is_reached(series.points[-1]) for series in page.series)
