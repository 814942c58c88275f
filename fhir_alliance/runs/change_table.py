"""A table of scores in CSV, read as one pair per client. What a row holds never leaves this module in words."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from fhir_alliance.core.change import Pair
from fhir_alliance.core.model import NoValue, Number, Scale
from fhir_alliance.errors import AllianceError, Exit

# What spreadsheets and statistics programs write where there is no value.
_NO_VALUE = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", ".", "-"))
_ABSENT = NoValue("unknown", "its value is missing.")
_NO_ROW = NoValue("unknown", "there is no row for it.")
_NOT_A_NUMBER = NoValue("error", "its value is not a number.")
_TWICE = NoValue("error", "there is more than one row for it.")
_DELIMITERS = (",", ";", "\t")


class Misuse(AllianceError):
    """The command was called with what cannot be meant."""

    exit = Exit.USAGE


class Table(msgspec.Struct, frozen=True):
    """A CSV file with a row for each client and time; which of its columns and of its times are meant."""

    path: Path
    id: str
    time: str
    value: str
    first: str
    last: str


class Pairs(msgspec.Struct, frozen=True):
    """The pairs of a table, by client, and the rows that need a person, by line number and never by content."""

    by_client: Mapping[str, Pair]
    refused: tuple[str, ...] = ()

    def complete(self) -> list[tuple[Number, Number]]:
        """Return the pairs that have both scores."""
        return [
            (pair.before, pair.after)
            for pair in self.by_client.values()
            if not isinstance(pair.before, NoValue) and not isinstance(pair.after, NoValue)
        ]


def in_range(value: Number, scale: Scale | None) -> Number | NoValue:
    """Return a score that the scale can give; another one has no value."""
    if scale is None or scale.low <= value <= scale.high:
        return value
    return NoValue("error", f"it lies outside {scale.title}'s {scale.low}-{scale.high}.")


def read_pairs(table: Table, scale: Scale | None = None) -> Pairs:
    """Return the first and last scores of all clients who have a row for one of them.

    scale: scores outside its range are refused.  Raises Misuse FA602-FA605.
    """
    places = _moment(table.first), _moment(table.last)
    if places[0] == places[1]:
        raise Misuse("FA602", "--first and --last are the same.", "Give two values of the time column.")
    found: dict[str, dict[str, Number | NoValue]] = {}
    refused = []
    for line, client, time, text in _rows(table):
        if time not in places:
            continue
        if not client:
            refused.append(f"line {line}: nothing in the id column")
            continue
        value = _number(text, scale)
        scores = found.setdefault(client, {})
        if time in scores:
            value = _TWICE
        if isinstance(value, NoValue) and value is not _ABSENT:
            refused.append(f"line {line}: {value.note.removesuffix('.')}")
        scores[time] = value
    for name, place in zip(("--first", "--last"), places, strict=True):
        if not any(place in scores for scores in found.values()):
            raise Misuse("FA605", f"{table.path.name} has no row for {name}.", "Look at its time column.")
    pairs = {client: Pair(*(scores.get(place, _NO_ROW) for place in places)) for client, scores in found.items()}
    return Pairs(pairs, tuple(refused))


def _rows(table: Table) -> Iterator[tuple[int, str, str, str]]:
    """Yield line, client, time and value of every row."""
    columns = (table.id, table.time, table.value)
    try:
        with table.path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = next((d for d in _DELIMITERS if set(columns) <= set(_fields(header, d))), "")
            if not delimiter:
                raise Misuse(
                    "FA603",
                    f"{table.path.name} lacks the column {_lacking(columns, header)}.",
                    "Look at its first line.",
                )
            places = [_fields(header, delimiter).index(column) for column in columns]
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                client, time, value = (row[place].strip() if place < len(row) else "" for place in places)
                yield reader.line_num + 1, client, _moment(time), value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misuse(
            "FA604", f"{table.path.name} is no readable CSV ({type(error).__name__}).", "UTF-8, please."
        ) from None


def _fields(header: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]


def _lacking(columns: tuple[str, ...], header: str) -> str:
    """Return the first named column that no reading of the header has."""
    known = {name for delimiter in _DELIMITERS for name in _fields(header, delimiter)}
    return next((repr(column) for column in columns if column not in known), "names as given")


def as_number(text: str) -> Decimal | None:
    """Return a number that arithmetic can bear, as nothing that people score is larger or finer than 10 digits."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and (not number or abs(number.adjusted()) < 10) else None


def _moment(text: str) -> str:
    """Return a time so that 1 and 1.0 are the same."""
    number = as_number(text)
    return text.strip() if number is None else f"{number.normalize():f}"


def _number(text: str, scale: Scale | None) -> Number | NoValue:
    if text.lower() in _NO_VALUE:
        return _ABSENT
    number = as_number(text)
    return _NOT_A_NUMBER if number is None else in_range(number, scale)
