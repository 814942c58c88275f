"""What supervisors asked for, at the terminal: the counts in words, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from fhir_alliance.core.measures.therapists import FEWEST_CLIENTS

_COUNTS: Final = {
    "clients": "clients on record",
    "to_look_at": "of them with something to look at",
    "unreviewed_safety": "safety answers that nobody has reviewed",
    "not_on_track": "clients not on track",
    "overdue_reviews": "goal reviews past their due day",
    "missing_measures": "clients who came to a session of late, and gave no form",
    "assessments": "assessments done",
    "without_interpretation_or_review": "of them without an interpretation, or without a review that rests on them",
    "refused": f"therapists not told of: fewer than {FEWEST_CLIENTS} clients",
    "withheld": "clients kept from you: consent does not allow it",
}


def supervision_text(found: Mapping[str, Any], folder: str) -> Text:
    """Return what was found, line by line, and the files in `folder`. found: as `--json` prints it."""
    lines = [f"  {number:>6,} {words}" for words, number in found.get("counts", {}).items()]
    lines += [f"  {found[name]:>6,} {words}" for name, words in _COUNTS.items() if name in found]
    if "overall" in found:
        lines.append(f"  All together: {100 * found['overall']:.1f} %. By therapist, which is no ranking:")
    for one in found.get("therapists", ()):
        low, high = (100 * end for end in one["interval"])
        share = f"{100 * one['share']:.1f} % ({low:.1f} to {high:.1f})"
        lines.append(f"    {one['therapist']}: {share}")
    if "what_this_is" in found:
        lines.append(f"  This is {found['what_this_is']}.")
    return Text("\n".join([*lines, f"  Written into {folder}: {', '.join(found['files'])}"]))
