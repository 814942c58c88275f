"""The story of local scoring: responses in, Observations out; no store, no state."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import msgspec

from fhir_alliance.core.consent import ConsentRecord, Datum, gate
from fhir_alliance.core.model import Cleared, Instrument, NoValue, Response, Score
from fhir_alliance.core.scoring import Scorer
from fhir_alliance.core.ways_out import Grounds, ItemsPass, items_to_record
from fhir_alliance.fhir.inbound import Forms, OwnForm, Parked, Reading, Skipped
from fhir_alliance.fhir.learning import code_system_urls, value_set_urls
from fhir_alliance.fhir.observation import Emitter, datum_of
from fhir_alliance.fhir.versions import order
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.programs import protected
from fhir_alliance.runs.record import relied_on
from fhir_alliance.runs.summary import Summary
from fhir_alliance.stores.files import new_file
from fhir_alliance.stores.folder import records_of, response_records
from fhir_alliance.stores.store import Record

Resource: TypeAlias = Mapping[str, Any]


class Bench(NamedTuple):
    """What scoring needs of one version of an instrument."""

    scorer: Scorer
    emitter: Emitter
    datum: Datum
    answers: Datum


class Desk:
    """What scoring needs of every instrument, made ready once for a run."""

    def __init__(self, catalog: Catalog, policy: Policy) -> None:
        self.policy = policy
        self.forms = Forms(catalog.instruments, catalog.questionnaires, catalog.earlier)
        self._benches: dict[str, Bench] = {}
        for instrument, _ in catalog.earlier:
            self._furnish(instrument)
        for name, instrument in catalog.instruments.items():
            self._benches[name] = self._furnish(instrument)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Return all instruments by id, those that the site's own Questionnaires are included."""
        return self.forms.known.instruments

    def read(self, record: Record, now: datetime, base: str = "") -> Reading:
        """Return what a record is; a parked one without a usable id is called by its place. base: the server's."""
        reading = self.forms.read(record.body, now, base)
        if isinstance(reading, Parked) and not reading.reference:
            return reading.at(record.place)
        return reading

    def bench(self, form: Response) -> Bench:
        """Return what scores a form."""
        return self._benches[form.edition or form.instrument]

    def items_of(self, cleared: Cleared, consents: Sequence[ConsentRecord], now: datetime) -> ItemsPass | None:
        """Return what lets a form's answers out one by one, where consent does."""
        policy = self.policy.consent
        grounds = Grounds(consents, policy.defaults, now)
        datum = self.bench(cleared.form).answers
        found = items_to_record(cleared.form, policy.recipient, policy.purpose, datum, grounds)
        return found if isinstance(found, ItemsPass) else None

    def learn(
        self, questionnaires: Iterable[Resource], look_up: Callable[[str, list[str]], Sequence[Resource]]
    ) -> None:
        """Take in the site's own Questionnaires, so that their responses are scored.

        look_up: gives the resources of a type by url; asked for the ValueSets and CodeSystems that their answers are
        from.
        """
        own = {instrument.url for instrument in self.forms.known.instruments.values()}
        waiting = [form for form in questionnaires if form.get("url") not in own]
        waiting.sort(key=lambda form: (str(form.get("url")), order(str(form.get("version", "")))))
        value_sets = _looked_up("ValueSet", value_set_urls(waiting), look_up)
        code_systems = _looked_up("CodeSystem", code_system_urls(waiting, value_sets), look_up)
        for questionnaire in waiting:
            instrument = self.forms.learn(questionnaire, value_sets, code_systems)
            if instrument is not None and f"{instrument.id}|{instrument.version}" not in self._benches:
                self._furnish(instrument)

    def _furnish(self, instrument: Instrument) -> Bench:
        has_codes = all(option.code.system for item in instrument.items for option in item.options)
        scales = tuple(scale for scale in instrument.scales if self.policy.with_algorithms or not scale.on_request)
        asked = msgspec.structs.replace(instrument, scales=scales)
        emitter = Emitter(asked, with_items=self.policy.with_items and has_codes)
        bench = Bench(Scorer(asked), emitter, datum_of(instrument), datum_of(instrument, items=True))
        self._benches[f"{instrument.id}|{instrument.version}"] = bench
        return bench


def _looked_up(
    kind: str, urls: list[str], look_up: Callable[[str, list[str]], Sequence[Resource]]
) -> Sequence[Resource]:
    return look_up(kind, urls) if urls else ()


Consents: TypeAlias = Mapping[str, Sequence[ConsentRecord]]
Out: TypeAlias = Callable[[bytes], object]
Watch: TypeAlias = Callable[[int], None]
# scores the responses in files; the Observations go to Out in their order
Engine: TypeAlias = Callable[[Sequence[Path], Desk, Consents, datetime, Out, Watch], Summary]


def in_one_process(
    paths: Sequence[Path], desk: Desk, consents: Consents, now: datetime, out: Out, watch: Watch
) -> Summary:
    """Return what was done with the responses in files, one after the other."""
    return score(response_records(paths), desk, consents, now, out, watch)


def score_inputs(
    inputs: Sequence[str],
    catalog: Catalog,
    policy: Policy,
    now: datetime,
    out_file: Path | None,
    watch: Watch,
    engine: Engine = in_one_process,
) -> Summary:
    """Return what was done with files, folders and "-" (stdin); Observations go to a file, whole, or to stdout."""
    with tempfile.TemporaryDirectory(prefix="fhir-alliance-") as spool:
        paths = [Path(name) if name != "-" else _spooled(sys.stdin.buffer, Path(spool)) for name in inputs]
        return _score_files(paths, Desk(catalog, policy), now, out_file, watch, engine)


def _spooled(stream: IO[bytes], folder: Path) -> Path:
    """Return a file of all that a stream holds: its Consents and Questionnaires count before its first response."""
    path = folder / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file)
    return path


def _score_files(
    paths: Sequence[Path], desk: Desk, now: datetime, out_file: Path | None, watch: Watch, engine: Engine
) -> Summary:
    desk.learn(
        records_of(paths, "Questionnaire"),
        lambda kind, urls: [resource for resource in records_of(paths, kind) if resource.get("url") in urls],
    )
    consents: dict[str, list[ConsentRecord]] = {}
    for resource in records_of(paths, "Consent"):
        record = relied_on(resource)
        consents.setdefault(record.subject, []).append(record)
    if out_file is None:
        summary = engine(paths, desk, consents, now, sys.stdout.buffer.write, watch)
        sys.stdout.buffer.flush()
        return summary
    with new_file(out_file) as out:
        return engine(paths, desk, consents, now, out.write, watch)


def score(
    records: Iterable[Record],
    desk: Desk,
    consents: Consents,
    now: datetime,
    out: Out,
    watch: Watch = lambda count: None,
) -> Summary:
    """Return what was done; the Observations go to `out` as lines of NDJSON.

    consents: by subject, those that lie beside the responses.  now: aware.
    watch: told every thousand forms how many were read.
    """
    summary = Summary()
    policy = desk.policy.consent
    for record in records:
        form = desk.read(record, now)
        if isinstance(form, OwnForm):
            continue
        summary.read += 1
        if not summary.read % 1000:
            watch(summary.read)
        if not isinstance(form, Response):
            _set_aside(form, summary)
            continue
        if desk.policy.part2_programs:  # without a store, nobody can tell of which program it is
            form = protected(form)
        summary.safety += desk.forms.is_concern(form)
        bench = desk.bench(form)
        cleared = gate(form, consents.get(form.subject, ()), policy, bench.datum, now)
        if not isinstance(cleared, Cleared):
            summary.withheld += 1
            continue
        scores = bench.scorer.score(cleared)
        items = desk.items_of(cleared, consents.get(form.subject, ()), now) if desk.policy.with_items else None
        out(b"\n".join([body for _, body in bench.emitter.observations(cleared, scores, items)]))
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
        summary.safety += form.concern is not None or form.is_nameless
    elif isinstance(form, Skipped):
        summary.unfinished += 1
        summary.safety += form.concern is not None
    else:
        summary.withdrawn += 1
