"""The story of local scoring: responses in, Observations out; no store, no state."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

from fhir_alliance.core.consent import ConsentRecord, Datum, gate
from fhir_alliance.core.model import Cleared, NoValue, Response, Score
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.fhir.consent import read_consent
from fhir_alliance.fhir.inbound import Forms, Parked, Skipped
from fhir_alliance.fhir.observation import Emitter, panel_codes
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.folder import new_file, records_of, response_records, stream_records
from fhir_alliance.stores.store import Record


class Desk:
    """What scoring needs of every instrument, made ready once for a run."""

    def __init__(self, catalog: Catalog, policy: Policy) -> None:
        self.policy = policy
        self.forms = Forms(catalog.instruments, catalog.questionnaires)
        self.scorers: dict[str, Scorer] = {}
        self.emitters: dict[str, Emitter] = {}
        self.data: dict[str, Datum] = {}
        for name, instrument in catalog.instruments.items():
            self.scorers[name] = catalog.scorer(name)
            self.emitters[name] = Emitter(instrument, with_items=policy.with_items)
            self.data[name] = Datum.of(panel_codes(instrument))


def score_inputs(
    inputs: Sequence[str],
    catalog: Catalog,
    policy: Policy,
    now: datetime,
    out_file: Path | None,
    watch: Callable[[int], None],
) -> Summary:
    """Return what was done with files, folders and "-" (stdin); Observations go to a file, whole, or to stdout."""
    desk = Desk(catalog, policy)
    paths = [Path(name) for name in inputs if name != "-"]
    for questionnaire in records_of(paths, "Questionnaire"):
        desk.forms.learn(questionnaire)
    consents: dict[str, list[ConsentRecord]] = {}
    for resource in records_of(paths, "Consent"):
        record = read_consent(resource)
        consents.setdefault(record.subject, []).append(record)
    records = response_records(paths)
    if "-" in inputs:
        records = chain(records, stream_records(sys.stdin.buffer, "stdin"))
    if out_file is None:
        summary = score(records, desk, consents, now, sys.stdout.buffer.write, watch)
        sys.stdout.buffer.flush()
        return summary
    with new_file(out_file) as out:
        return score(records, desk, consents, now, out.write, watch)


def score(
    records: Iterable[Record],
    desk: Desk,
    consents: Mapping[str, Sequence[ConsentRecord]],
    now: datetime,
    out: Callable[[bytes], object],
    watch: Callable[[int], None] = lambda count: None,
) -> Summary:
    """Return what was done; each Observation goes to `out` as one line of NDJSON.

    consents: by subject, those that lie beside the responses.  now: aware.
    watch: told every thousand forms how many were read.
    """
    summary = Summary()
    read, policy = desk.forms.read, desk.policy.consent
    for record in records:
        summary.read += 1
        if not summary.read % 1000:
            watch(summary.read)
        form = read(record.body, record.source, now, number=record.line)
        if not isinstance(form, Response):
            _set_aside(form, summary)
            continue
        summary.safety += desk.forms.is_concern(form)
        cleared = gate(form, consents.get(form.subject, ()), policy, desk.data[form.instrument], now)
        if not isinstance(cleared, Cleared):
            summary.withheld += 1
            continue
        scores = desk.scorers[form.instrument].score(cleared)
        for _, body in desk.emitters[form.instrument].observations(cleared, scores):
            out(body)
            out(b"\n")
        count_scores(scores, summary)
    return summary


def count_scores(scores: Sequence[Score], summary: Summary) -> None:
    """Count a form as scored when any of its scales has a value."""
    for score in scores:
        if not isinstance(score.value, NoValue):
            summary.scored += 1
            return
    summary.unscorable += 1


def _set_aside(form: object, summary: Summary) -> None:
    if isinstance(form, Parked):
        summary.parked.append(form)
        summary.safety += form.concern is not None
    elif isinstance(form, Skipped):
        summary.unfinished += 1
        summary.safety += form.concern is not None
    else:
        summary.withdrawn += 1
