"""A report on disk: FHIR, CSV and the manifest that says what it rests on; the same input gives the same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.core.measures.adjoining import Earlier, Key
from fhir_alliance.core.measures.audience import Role
from fhir_alliance.core.measures.bad_input import RULES
from fhir_alliance.core.measures.calendar import Days
from fhir_alliance.core.measures.tallying import rate
from fhir_alliance.core.model import Count, Missing, Tally
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.leak_scan import LeakScan
from fhir_alliance.fhir.measure import measure_resource
from fhir_alliance.fhir.measure_report import individual, subject_list, summary
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.report import Report, ReportOrder
from fhir_alliance.stores.files import new_file, new_folder
from fhir_alliance.views.csv_text import csv_text
from fhir_alliance.views.report_page import report_page
from fhir_alliance.views.report_pdf import Block, paper, paper_text, report_pdf
from fhir_alliance.views.report_words import Told

MANIFEST: Final = "manifest.json"
TALLY: Final = "tally.csv"
_PRETTY: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def write_report(report: Report, folder: Path, catalog: Catalog) -> dict[str, Any]:
    """Write a report's files into a folder and return its manifest.

    catalog: nothing of its alliance forms reaches an insurer.  Raises StopRun FA111, FA124, FA310.
    """
    new_folder(folder)
    found = facts_of(report, _earlier(folder / MANIFEST))
    files = report_files(report, found)
    if report.order.audience.role is Role.INSURER:
        # neither PDF nor Parquet can be looked into: the words of the one are, and the other holds the table's numbers
        words = paper_text(_paper(report, found)).encode()
        LeakScan(catalog.instruments.values(), catalog.questionnaires).demand_none(files | {"report.pdf": words})
    files |= packed_files(report, found)
    manifest = found | {"files": {name: sha256(content).hexdigest() for name, content in sorted(files.items())}}
    for name, content in (*files.items(), (MANIFEST, orjson.dumps(manifest, option=_PRETTY))):
        with new_file(folder / name) as out:
            out.write(content)
    return manifest


def report_files(report: Report, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the content of each file by its name. facts: what the manifest says."""
    order, tally = report.order, report.tally
    reporter = order.reporter or (report.clinics[0] if len(report.clinics) == 1 else "")
    whole = summary(order.measure, tally, reporter, order.cut)
    files = {
        "measure.json": orjson.dumps(measure_resource(order.measure), option=_PRETTY),
        "summary.json": orjson.dumps(whole, option=_PRETTY),
        TALLY: tally_csv(tally).encode(),
        "report.html": report_page(order.measure, tally, _told(report, facts), report.shown).encode(),
    }
    if order.audience.sees_people:
        named = subject_list(order.measure, tally, reporter, order.cut, report.shown)
        single = (individual(order.measure, one, tally.period, reporter, order.cut) for one in report.shown)
        files["subject-list.json"] = orjson.dumps(named, option=_PRETTY)
        files["individual.ndjson"] = b"".join(orjson.dumps(one) + b"\n" for one in single)
    return files


def packed_files(report: Report, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what was asked for beside text: all of it stands in the text files too.

    Raises StopRun FA719 or FA720 where the library for it is not installed.
    """
    order, files = report.order, dict[str, bytes]()
    if "pdf" in order.also:
        files["report.pdf"] = report_pdf(_paper(report, facts), order.cut)
    if "parquet" in order.also:
        files["tally.parquet"] = tally_parquet(report.tally)
    return files


def _paper(report: Report, facts: Mapping[str, Any]) -> tuple[Block, ...]:
    return paper(report.order.measure, report.tally, _told(report, facts), report.shown)


def tally_parquet(tally: Tally) -> bytes:
    """Return the tally as Parquet, with the columns of the CSV; a masked count is null, and said to be masked."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StopRun("FA720", "Parquet needs pyarrow.", "Run: pip install 'fhir-alliance[parquet]'") from None
    rows = [(p.group, p.stratum, code, n) for p in tally.parts for code, n in p.counts.items()]
    columns: dict[str, list[Any]] = {
        "group": [row[0] for row in rows],
        "stratum": [row[1] for row in rows],
        "population": [row[2] for row in rows],
        "count": [None if isinstance(row[3], Missing) else row[3] for row in rows],
        "masked": [isinstance(row[3], Missing) for row in rows],
    }
    types = [("group", pa.string()), ("stratum", pa.string()), ("population", pa.string())]
    schema = pa.schema([*types, ("count", pa.int64()), ("masked", pa.bool_())])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink)
    return bytes(sink.getvalue())


def tally_csv(tally: Tally) -> str:
    """Return the tally as CSV: a row for each population of each part; a masked count says so."""
    rows = [
        (part.group, part.stratum, population, said(count))
        for part in tally.parts
        for population, count in part.counts.items()
    ]
    return csv_text(("group", "stratum", "population", "count"), rows)


def said(count: Count) -> str | int:
    """Return a count as it is shown."""
    return "masked" if isinstance(count, Missing) else count


def _told(report: Report, facts: Mapping[str, Any]) -> Told:
    """Return what stands around the numbers on the page."""
    restates = facts["restates"]
    lines = [] if restates is None else [f"Why: {why}." for why in restates["why"]]
    for change in () if restates is None else restates["changes"]:
        lines.append(f"{change['group']}, {change['population']}: {change['before']} before, {change['after']} now.")
    if restates is not None and not restates["changes"]:
        lines.append("No count for everybody changed.")
    order = report.order
    sets = tuple(sorted(report.value_sets.items()))
    masked = not order.audience.sees_people
    return Told(order.audience.words, order.cut.isoformat(), order.software, report.inputs, masked, sets, tuple(lines))


def facts_of(report: Report, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the report rests on, and what changed since an earlier one of the same name in the folder."""
    order, tally = report.order, report.tally
    manifest: dict[str, Any] = {
        "measure": {"id": tally.measure, "version": tally.version, "edition": order.measure.edition},
        "software": {"name": "fhir_alliance", "version": order.software},
        "period": [day.isoformat() for day in tally.period],
        "audience": order.audience.words,
        "data_cut": order.cut.isoformat(),
        "inputs": {"people": said(tally.people), "sha256": report.inputs},
        "value_sets": dict(sorted(report.value_sets.items())),
        "withheld": {reason: said(count) for reason, count in tally.withheld.items()},
        "bad_input": {rule: {"count": said(count), "rule": RULES[rule]} for rule, count in tally.odd.items()},
        "results": results(tally),
        "does_not_claim": list(order.measure.does_not_claim),
    }
    manifest["restates"] = restatement(manifest, earlier)
    return manifest


def results(tally: Tally) -> dict[str, Any]:
    """Return the populations and the rate of each group, for everybody."""
    found: dict[str, Any] = {}
    for part in tally.parts:
        if not part.stratum:
            score = rate(part.counts)
            shown: dict[str, Any] = {code: said(count) for code, count in part.counts.items()}
            found[part.group] = shown | {"rate": None if score is None else float(round(score, 4))}
    return found


def restatement(manifest: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what changed since an earlier report of the same measure, period and audience, and why; None if nothing.

    Where nothing changed, what the earlier one said about its own past stays.
    """
    same = ("period", "audience")
    if earlier is None or any(earlier.get(k) != manifest[k] for k in same) or _id(earlier) != _id(manifest):
        return None
    causes = {
        "inputs": "the record has changed",
        "measure": "the measure has a new version",
        "software": "the program has a new version",
        "value_sets": "the ValueSets have changed",
        "data_cut": "the data cut is another",
        "withheld": "consents have changed",
        "bad_input": "what is odd in the record has changed",
    }
    why = [words for key, words in causes.items() if earlier.get(key) != manifest[key]]
    if not why:
        kept: dict[str, Any] | None = earlier.get("restates")
        return kept
    return {
        "data_cut": earlier.get("data_cut"),
        "inputs": earlier.get("inputs"),
        "why": why,
        "changes": _changes(earlier.get("results", {}), manifest["results"]),
    }


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"group": group, "population": code, "before": before.get(group, {}).get(code), "after": now}
        for group, counts in after.items()
        for code, now in counts.items()
        if before.get(group, {}).get(code) != now
    ]


def _id(manifest: Mapping[str, Any]) -> Any:
    return (manifest.get("measure") or {}).get("id")


def with_earlier(order: ReportOrder, folders: Sequence[Path]) -> ReportOrder:
    """Return the order with what the same readers have of the same measure: the reports in some folders.

    A report whose files are not those that its manifest names is refused: StopRun FA717.
    """
    found = []
    for folder in folders:
        manifest = _earlier(folder / MANIFEST)
        if manifest is None or manifest.get("audience") != order.audience.words or not _same(manifest, order):
            continue
        table = (folder / TALLY).read_bytes() if (folder / TALLY).is_file() else b""
        if sha256(table).hexdigest() != (manifest.get("files") or {}).get(TALLY):
            raise StopRun(
                "FA717", f"{folder / TALLY} is not what its manifest says.", "Restore it, or name another folder."
            )
        days = Days(*(date.fromisoformat(day) for day in manifest["period"]))
        found.append(Earlier(" to ".join(manifest["period"]), _published(table.decode()), days))
    return msgspec.structs.replace(order, earlier=tuple(found))


def _same(manifest: Mapping[str, Any], order: ReportOrder) -> bool:
    """Return whether a report is on the same measure: other days can lie within the same year."""
    return _id(manifest) == order.measure.id and len(manifest.get("period") or ()) == 2


def _published(table: str) -> dict[Key, int | None]:
    rows = csv.DictReader(io.StringIO(table))
    return {
        Key(r["group"], r["stratum"], r["population"]): None if r["count"] == "masked" else int(r["count"])
        for r in rows
    }


def _earlier(path: Path) -> Mapping[str, Any] | None:
    """Return the manifest of an earlier report, if one is there and can be read."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None
