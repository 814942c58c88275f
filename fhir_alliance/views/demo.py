"""What the demo tells: a page that a clinician can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fhir_alliance.core.model import Review, ReviewKind

_SHOWN = 1


def demo_text(
    folder: str,
    published: Mapping[str, Any],
    synced: Mapping[str, Any],
    clients: int,
    modes: Mapping[str, int],
    reviews: Sequence[Review],
    parked: Sequence[tuple[str, str]],
) -> RenderableType:
    """Return the demo's story: what came in, what was left out and why, who is asked to do what, where to look."""
    lines: list[RenderableType] = [Text("The example clinic (all people invented)", style="bold")]
    sessions = f"{modes.get('AMB', 0)} sessions in person and {modes.get('VR', 0)} by video or phone"
    lines.append(Text(f"{clients} clients, {sessions}, {synced['read']:,} questionnaires over twelve weeks."))
    lines += [Text(), Text("What became of the questionnaires", style="bold"), *_forms(synced, parked)]
    lines += [Text(), Text("Who is asked to do what", style="bold"), *_reviews(reviews)]
    lines += [Text(), Text("What was written", style="bold"), *_written(published, synced)]
    lines += [Text(), Text("Files to open", style="bold"), *_files(folder)]
    return Group(*lines)


def _forms(synced: Mapping[str, Any], parked: Sequence[tuple[str, str]]) -> list[Text]:
    lines = [
        Text(f"  {synced['scored']:>5,} scored"),
        Text(f"  {synced['unscorable']:>5,} could not be scored: answers are missing, and a gap is never a zero"),
        Text(f"  {synced['withheld']:>5,} withheld: the client's consent does not allow it"),
        Text(f"  {synced['withdrawn']:>5,} withdrawn as entered in error"),
        Text(f"  {synced['unfinished']:>5,} not finished"),
        Text(f"  {synced['parked']:>5,} parked, each with its reason, for example:"),
    ]
    return lines + [Text(f"        {reference}: {reason}", overflow="fold") for reference, reason in parked[:2]]


def _reviews(reviews: Sequence[Review]) -> list[Text]:
    safety = [review for review in reviews if review.kind is ReviewKind.SAFETY]
    goals = [review for review in reviews if review.kind is ReviewKind.GOAL]
    lines = [Text(f"  {len(safety)} clinician reviews of a safety answer stand open (urgent), for example:")]
    lines += [Text(f"    {_line(review, '')}", overflow="fold") for review in safety[:1]]
    lines.append(Text(f"  {len(goals)} goal reviews stand open, at most one per client; the reasons, by clients:"))
    lines += [Text(f"    {number:>3} {rule}") for rule, number in _rates(goals)]
    lines.append(Text("  For example:"))
    for rule in ("alliance-control-chart", "reliable-deterioration", "reliable-improvement"):
        concerned = [review for review in goals if any(evidence.rule == rule for evidence in review.evidence)]
        concerned.sort(key=lambda review: len(review.evidence), reverse=True)
        lines += [Text(f"    {_line(review, rule)}", overflow="fold") for review in concerned[:_SHOWN]]
    return lines


def _rates(reviews: Sequence[Review]) -> list[tuple[str, int]]:
    """Return of how many clients each rule speaks, the most frequent first."""
    clients = Counter(rule for review in reviews for rule in {evidence.rule for evidence in review.evidence})
    return sorted(clients.items(), key=lambda rate: (-rate[1], rate[0]))


def _line(review: Review, rule: str) -> str:
    """Return whose review it is, who does it by when, and its last reason of a rule."""
    owner = f" -> {review.owner}" if review.owner else ""
    reason = [evidence for evidence in review.evidence if evidence.rule == rule or not rule][-1]
    return f"{review.subject}{owner}, due {review.due:%d %B}: {reason.sentence}"


def _written(published: Mapping[str, Any], synced: Mapping[str, Any]) -> list[Text]:
    lines = []
    for title, counts in (("published", published), ("synced", synced)):
        made = counts["created"] or counts["updated"]
        what = ", ".join(f"{number:,} {kind}" for kind, number in made.items())
        lines.append(Text(f"  {title}: {what or 'nothing changed; everything stands as it should'}"))
    return lines


def _files(folder: str) -> list[Text]:
    named = (
        ("Task.fhir-alliance.ndjson", "the reviews, with reasons and agenda"),
        ("Observation.fhir-alliance.ndjson", "the scores"),
        ("parked.ndjson", "what needs a person, and why"),
        ("QuestionnaireResponse.000.ndjson", "what came in (never changed)"),
    )
    return [Text(f"  {folder}/{name}  {what}") for name, what in named]
