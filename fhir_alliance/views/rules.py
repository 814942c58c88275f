"""Rules for people at a terminal and for machines: a list, a card, and how a verdict came about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fhir_alliance.core.rules.card import Card, Setting
from fhir_alliance.core.rules.settings import RuleSettings


class Tried(Protocol):
    """A verdict as it is shown; see `runs.rules.Verdict`."""

    @property
    def client(self) -> int: ...
    @property
    def when(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def steps(self) -> Sequence[tuple[str, str]]: ...
    @property
    def sentence(self) -> str: ...


def rule_row(card: Card, off: Collection[str]) -> dict[str, Any]:
    """Return a rule as a machine reads it in `rules list --json`."""
    return {
        "id": card.id,
        "title": card.title,
        "citation": card.citation,
        "version": card.version,
        "expires": card.expires.isoformat(),
        "on": card.id not in off,
        "settings": [setting.name for setting in card.settings],
    }


def rule_list(rows: Iterable[dict[str, Any]]) -> RenderableType:
    """Return all rules as a table."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "version", "on", "title", "evidence"):
        table.add_column(column, no_wrap=column == "id")
    for row in rows:
        table.add_row(row["id"], row["version"], "yes" if row["on"] else "off", row["title"], row["citation"])
    return table


def card_page(card: Card, settings: RuleSettings) -> RenderableType:
    """Return a rule's card, with the settings as they are here."""
    lines = [Text(f"{card.title} ({card.id} {card.version})", style="bold")]
    if card.id in settings.off:
        lines.append(Text("Switched off here."))
    parts = (("What", card.what), ("Why", card.why), ("Example", card.example), ("For whom", card.population))
    for name, words in (*parts, ("It does not know", card.unknown)):
        lines += [Text(), Text(name, style="bold"), Text(f"  {words}")]
    lines += [Text(), Text("Evidence", style="bold")]
    for cited in card.citations:
        how = f" ({cited.confidence})" if cited.confidence else ""
        lines.append(Text(f"  {cited.text}: {cited.says}{how} {cited.link}".rstrip()))
    lines.append(Text(f"  To be looked at again by {card.expires:%d %B %Y}."))
    if card.settings:
        lines += [Text(), Text("Settings in [rules]", style="bold"), *_settings(card.settings, settings)]
    if card.conflicts:
        lines += [Text(), Text("Where sources differ; choose in [[rules.threshold]]", style="bold")]
        for c in card.conflicts:
            lines.append(Text(f"  {c.instrument} {c.scale}, {c.key}: {c.value} ({c.source}; {c.population})"))
    return Group(*lines)


def _settings(named: Iterable[Setting], settings: RuleSettings) -> list[Text]:
    lines = []
    for setting in named:
        here = getattr(settings, setting.name)
        chosen = "" if here == setting.default else f", here {here:g}"
        lines.append(Text(f"  {setting.name} = {setting.default:g} {setting.unit}{chosen}: {setting.words}"))
        lines.append(Text(f"      {setting.source}"))
    return lines


def verdict_row(tried: Tried) -> dict[str, Any]:
    """Return a verdict as a machine reads it in `rules test --json`."""
    return {
        "client": tried.client,
        "date": tried.when,
        "place": tried.place,
        "value": tried.value,
        "speaks": bool(tried.sentence),
        "sentence": tried.sentence,
        "steps": [{"what": what, "value": value} for what, value in tried.steps],
    }


def verdicts_text(title: str, found: Sequence[Tried]) -> RenderableType:
    """Return how each verdict came about, step by step."""
    lines = [Text(f"{title}: speaks at {sum(bool(t.sentence) for t in found)} of {len(found)}", style="bold")]
    several = len({tried.client for tried in found}) > 1
    for tried in found:
        who = f"client {tried.client}, " if several else ""
        lines += [Text(), Text(f"{who}{tried.when}  {tried.place}  {tried.value}".rstrip())]
        lines += [Text(f"    {what}: {value}") for what, value in tried.steps]
        lines.append(Text(f"  -> {tried.sentence}" if tried.sentence else "  -> silent"))
    return Group(*lines)
