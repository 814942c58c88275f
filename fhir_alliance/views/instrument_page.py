"""An instrument as a page of the reference, in Markdown: what it scores, and where each number is from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fhir_alliance.core.model import Code, Formula, Instrument, Item, Scale
from fhir_alliance.views.instruments import licence_state

NOTICE: Final = "<!-- Generated from questionnaires/ by python -m fhir_alliance.runs.instrument_pages. -->"
_SAID: Final = {
    Formula.SUM: "sum of its items",
    Formula.MEAN: "mean of its items",
    Formula.COUNT: "number of items that count",
    Formula.LOOKUP: "sum of its items, looked up in a table",
    Formula.PER_GOAL: "rating of each of the client's own goals",
    Formula.GOAL_ATTAINMENT: "goal attainment over all of the client's own goals",
}


def index_page(instruments: Iterable[Instrument]) -> str:
    """Return the table of all instruments, each with a link to its page."""
    rows = [
        (
            f"[{i.id}]({i.id}.md)",
            i.title,
            i.family.value,
            i.rater.value,
            str(len(i.items)),
            _scales(i),
            licence_state(i),
        )
        for i in instruments
    ]
    head = ("id", "title", "family", "answered by", "items", "scales", "wording")
    return _joined([NOTICE, "", "# Instruments", "", *_table(head, rows)])


def reference_page(instrument: Instrument) -> str:
    """Return one instrument's page; it holds linkIds and codes, and no item's wording."""
    lines = [NOTICE, "", f"# {_flat(instrument.title)}", "", *_facts(instrument)]
    for scale in instrument.scales:
        lines += ["", f"## {_flat(scale.title)} (`{scale.id}`)", "", *_scale(scale)]
    if not instrument.scales:
        lines += ["", "It has no score: its items are looked at one by one."]
    lines += [*_safety(instrument.items), "", "## Items", "", *_items(instrument.items)]
    return _joined(lines)


def _facts(instrument: Instrument) -> Iterator[str]:
    licence = instrument.licence
    yield f"- Canonical: `{instrument.url}|{instrument.version}`"
    if instrument.panel:
        yield f"- Codes: {_codes(instrument.panel)}"
    yield f"- Answered by the {instrument.rater.value}, {len(instrument.items)} items"
    if instrument.recall:
        yield f"- Recall: {_flat(instrument.recall)}"
    yield f"- Languages: {', '.join(instrument.languages)}"
    yield f"- Kept as: {instrument.family.value}, labelled {', '.join(instrument.labels)}"
    yield f"- Wording: {licence_state(instrument)}"
    yield f"- Holder: {_flat(licence.holder)}"
    yield f"- Terms: {_flat(licence.statement)} ({_flat(licence.source)})"
    if not instrument.validated:
        yield "- Not validated: no norms and no cut-offs exist"


def _scale(scale: Scale) -> Iterator[str]:
    times = f", times {scale.factor}" if scale.factor != 1 else ""
    yield (
        f"- Score: {_SAID[scale.formula]}{times}; {scale.low} to {scale.high}, higher is {scale.higher_is.value} "
        f"({_flat(scale.source)})"
    )
    if scale.codes:
        yield f"- Codes: {_codes(scale.codes)}"
    yield f"- Items: {_named(scale.items)}"
    if scale.reversed:
        yield f"- Reversed: {_named(item for item in scale.items if item in scale.reversed)}"
    if scale.counts:
        yield f"- Counts from: {', '.join(f'`{item}` {scale.counts[item]}' for item in scale.items)}"
    if scale.gate:
        yield f"- Lowest band unless one of these counts: {_named(scale.gate)}"
    if scale.table:
        yield f"- Table (sum: score): {', '.join(f'{raw}: {value}' for raw, value in scale.table.items())}"
    yield f"- Missing answers: at most {scale.missing.max_missing} ({_flat(scale.missing.source)})"
    if scale.caseness is not None:
        yield f"- Caseness at {scale.caseness.at} ({_flat(scale.caseness.source)})"
    if scale.bands:
        rows = [(f"{band.low}-{band.high}", band.label, f"`{band.code}`", band.source) for band in scale.bands]
        yield from ("", *_table(("points", "band", "code", "source"), rows))


def _safety(items: Iterable[Item]) -> Iterator[str]:
    found = [item for item in items if item.critical is not None]
    if found:
        yield from (
            "",
            "## Safety items",
            "",
            "Answered with so many points or more, or not at all, a clinician looks.",
            "",
        )
    for item in found:
        if item.critical is not None:
            yield f"- `{item.link_id}`: {item.critical.at_least} ({_flat(item.critical.source)})"


def _items(items: Iterable[Item]) -> list[str]:
    rows = [(f"`{item.link_id}`", _codes(item.codes), _points(item)) for item in items]
    return _table(("linkId", "codes", "points"), rows)


def _points(item: Item) -> str:
    worth = sorted({option.weight for option in item.options})
    return ", ".join(map(str, worth)) if worth else f"{item.low} to {item.high}"


def _scales(instrument: Instrument) -> str:
    return ", ".join(scale.id for scale in instrument.scales) or "none"


def _codes(codes: Sequence[Code]) -> str:
    return ", ".join(f"`{code.system}|{code.code}`" for code in codes)


def _named(link_ids: Iterable[str]) -> str:
    return ", ".join(f"`{link_id}`" for link_id in link_ids)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([_flat(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _flat(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
