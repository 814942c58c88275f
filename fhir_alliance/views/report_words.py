"""The words of a measure's report that stand on its page, on paper and at the terminal alike."""

from __future__ import annotations

from itertools import groupby
from typing import Final

import msgspec

from fhir_alliance.core.measures.bad_input import RULES
from fhir_alliance.core.measures.definition import Measure, Population
from fhir_alliance.core.measures.equity import KINDS, MONTH, NOT_RECORDED
from fhir_alliance.core.measures.tallying import eligible, rate
from fhir_alliance.core.model import Count, Missing, Part, Tally
from fhir_alliance.views.picture import Table

# HEDIS reports no rate on fewer than 30 people: the denominator is too small (NCQA, "small denominator", NA).
FEW: Final = 30
POPULATIONS: Final = {
    Population.INITIAL: "Initial population",
    Population.DENOMINATOR: "Denominator",
    Population.EXCLUSION: "Excluded",
    Population.EXCEPTION: "Excepted",
    Population.NUMERATOR: "Numerator",
}
HEAD: Final = ("", *POPULATIONS.values(), "Rate")
_UNITS: Final = {"person": "people", "Task": "reviews", "form": "sessions or forms"}
_KINDS: Final = KINDS | {"measure": "Strata of the measure"}
SINGLE: Final = (
    "A shape can be a single client, so this picture is for supervision and goes to nobody outside the clinic."
)
_MASKED_NOTE: Final = "Counts of 1 to 10 are masked, and so are others from which they would follow; a zero is shown."
_OPEN_NOTE: Final = "Small counts stand as they are: this report is for use inside the clinic, and for nobody else."


class Told(msgspec.Struct, frozen=True):
    """What stands around the numbers: for whom, up to which day, from which input, and what changed since before.

    is_masked: counts of 1 to 10 are not in it.
    """

    audience: str
    cut: str
    software: str
    inputs: str
    is_masked: bool = True
    value_sets: tuple[tuple[str, str], ...] = ()
    restates: tuple[str, ...] = ()


def head_words(measure: Measure, tally: Tally, told: Told) -> str:
    """Return when, for whom and in which edition, in one line."""
    first, last = tally.period
    return f"{first} to {last}, for: {told.audience}. Edition: {measure.edition}."


def unit_of(basis: str) -> str:
    """Return what a measure counts, in the plural. basis: of the measure or its tally."""
    return _UNITS.get(basis, f"{basis}s")


def note(told: Told) -> str:
    """Return what holds of small counts in this report."""
    return _MASKED_NOTE if told.is_masked else _OPEN_NOTE


def rate_words(counts: dict[str, Count]) -> str:
    """Return the rate in percent with one decimal, or why there is none."""
    if Missing.MASKED in counts.values():
        return "masked"
    score = rate(counts)
    return "nobody left to count" if score is None else f"{100 * score:.1f} %"


def left_out_words(tally: Tally) -> str:
    """Return how many people are not in the report, and what that may bias."""
    if not tally.withheld:
        return f"All {said(tally.people)} people on record were looked at; nobody was left out for lack of consent."
    withheld = list(tally.withheld.values())
    known = [count for count in withheld if isinstance(count, int)]
    number = f"{sum(known):,}" if len(known) == len(withheld) else "Some"
    whole = f"{tally.people:,}" if isinstance(tally.people, int) else "the"
    return (
        f"{number} of {whole} people on record are left out, because consent does not allow it. Who withholds "
        "consent may differ from who gives it, so every rate here may be too high or too low, and nobody can tell "
        "from these numbers which."
    )


def cells(part: Part) -> tuple[str, ...]:
    """Return a part's counts as they are shown, in the order of `POPULATIONS`."""
    return tuple(said(part.counts[p.value]) if p.value in part.counts else "-" for p in POPULATIONS)


def said(count: Count) -> str:
    """Return a count for people."""
    return "masked" if isinstance(count, Missing) else f"{count:,}"


def result_table(measure: Measure, tally: Tally, told: Told) -> Table:
    """Return the populations and rates over everybody."""
    better = "Higher is better." if measure.improvement == "increase" else "Lower is better."
    rows = tuple((part.title, *cells(part), rate_words(part.counts)) for part in tally.parts if not part.stratum)
    return Table(f"Counts of {unit_of(tally.basis)}. {better} {note(told)}", HEAD, rows)


def odd_table(tally: Tally) -> Table:
    """Return what was odd in the record and what was done, by rule."""
    return Table("By rule", ("Count", "Rule"), tuple((said(n), RULES.get(rule, rule)) for rule, n in tally.odd.items()))


def strata_words(tally: Tally) -> list[str]:
    """Return what to say before the strata: whether they can be compared, and what the record says of nobody."""
    unknown = unknown_words(tally)
    return [comparison_words(tally), *([unknown] if unknown else [])]


def strata_tables(tally: Tally) -> list[Table]:
    """Return a table for each kind of stratum of which the record says something for anybody."""
    divided = strata_of(tally)
    many = len({part.group for part in divided}) > 1
    return [
        Table(_KINDS.get(kind, kind), HEAD, tuple(_stratum(part, is_one_of_many=many) for part in parts))
        for kind, parts in groupby(divided, _kind)
    ]


def unknown_words(tally: Tally) -> str:
    """Return what the record says of nobody, so that nothing can be told by it; "" where there is no such thing."""
    parts, shown = _people_strata(tally), {_kind(part) for part in strata_of(tally)}
    unknown = [_KINDS.get(kind, kind) for kind in dict.fromkeys(map(_kind, parts)) if kind not in shown]
    return (
        f"The record says this of nobody, so nothing can be told by it: {', '.join(unknown).lower()}."
        if unknown
        else ""
    )


def strata_of(tally: Tally) -> list[Part]:
    """Return the strata of people by what divides them, where the record says something of it for anybody."""
    parts = _people_strata(tally)
    known = {_kind(part) for part in parts if part.stratum.partition(":")[2] != NOT_RECORDED}
    return sorted((part for part in parts if _kind(part) in known), key=_kind)


def comparison_words(tally: Tally) -> str:
    """Return whether the strata can be compared at all."""
    divided = strata_of(tally)
    sizes = [eligible(part.counts) for part in divided]
    few = sum(size is None or size < FEW for size in sizes)
    if few == 0:
        return "These numbers describe; why strata differ they do not tell."
    return (
        f"{few} of {len(divided)} strata have fewer than {FEW} {unit_of(tally.basis)}, or are masked. These numbers "
        "cannot carry a comparison between strata: a difference may be chance."
    )


def stratum_rate(part: Part) -> str:
    """Return the rate of a stratum; on fewer than 30 there is none."""
    left = eligible(part.counts)
    if left is not None and 0 < left < FEW:
        return f"fewer than {FEW}: no rate"
    return rate_words(part.counts)


def _stratum(part: Part, *, is_one_of_many: bool) -> tuple[str, ...]:
    value = part.stratum.partition(":")[2]
    words = "not recorded" if value == NOT_RECORDED else value
    return ((f"{part.title}: " if is_one_of_many else "") + words, *cells(part), stratum_rate(part))


def _kind(part: Part) -> str:
    return part.stratum.partition(":")[0]


def _people_strata(tally: Tally) -> list[Part]:
    return [part for part in tally.parts if part.stratum and _kind(part) != MONTH]
