"""The story of a disclosure: what consent lets go to somebody, with all that has to travel along, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from fhir_alliance.core.audit import Access, Action, Ground
from fhir_alliance.core.disclosure import Disclosure, Judged, ceiling_of, scope_text
from fhir_alliance.core.labels import may_carry
from fhir_alliance.core.model import Instrument, NoValue
from fhir_alliance.core.ways_out import DisclosurePass, Grounds, to_somebody
from fhir_alliance.errors import ConsentRefuses, StopRun
from fhir_alliance.fhir.disclosure import Given, disclosure_bundle
from fhir_alliance.fhir.elements import instant, is_shaped
from fhir_alliance.fhir.identifiers import local
from fhir_alliance.fhir.labels import labels_of
from fhir_alliance.fhir.observation import datum_of
from fhir_alliance.runs.audit import Tell, untold
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.consent import Question, asked
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.record import Record, consents_of
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.sync import learn
from fhir_alliance.stores.files import new_file, new_folder
from fhir_alliance.stores.store import Store

BUNDLE: Final = "bundle.json"
SCOPE: Final = "scope.txt"
NOTICE: Final = "notice.txt"
MANIFEST: Final = "manifest.json"
_NOTICE: Final = Path(__file__).parents[1] / "consent" / "redisclosure-notice.txt"


class _Found(NamedTuple):
    """The scores of one instrument with the same labels."""

    instrument: Instrument
    labels: tuple[str, ...]
    scores: list[Mapping[str, Any]]


def disclose(
    store: Store, catalog: Catalog, policy: Policy, question: Question, out: Path, now: datetime, *,
    tell: Tell = untold,
) -> Disclosure:  # fmt: skip
    """Return what was given; it stands in the folder `out`: bundle, scope, notice where it is due, and manifest.

    question: of the score level; its instrument, or "" for all.  out: a folder that is new or empty.  now: aware.
    Consents are read last, right before anything is written. The trail knows of the disclosure before the files stand,
    and of a refusal too.
    Raises ConsentRefuses FA330 where nothing may be given, StopRun FA331 where the folder holds something.
    """
    if out.is_dir() and any(out.iterdir()):
        raise StopRun("FA331", f"{out} is not empty.", "Name a new folder for each disclosure.")
    subject = local(question.patient, store.base)
    found = _scores(store, catalog, policy, subject, question.instrument)
    disclosure, given = _decided(found, store, policy, question._replace(patient=subject), now)
    tell([_access(disclosure, policy, now)])
    if not given:
        raise ConsentRefuses("FA330", "consent lets nothing of it go.", "See: fhir-alliance consent explain")
    copies = [c for c in store.about("Consent", [subject]) if _is_named(c, disclosure.consents)]
    bundle = disclosure_bundle(given, copies, left_out=bool(disclosure.left_out), now=now)
    files = {BUNDLE: orjson.dumps(bundle, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)}
    files[SCOPE] = scope_text(disclosure, instant(now)).encode()
    if disclosure.needs_notice:
        files[NOTICE] = _NOTICE.read_bytes()
    _write(new_folder(out), files, _manifest(disclosure, files, bundle, now))
    return disclosure


def _scores(store: Store, catalog: Catalog, policy: Policy, subject: str, instrument: str) -> list[_Found]:
    """Return the client's scores that have a value and were not withdrawn, by instrument and labels."""
    desk = Desk(catalog, policy)
    learn(desk, store)
    record = Record(store, {subject}, desk.instruments)
    wanted = catalog.find(instrument).id if instrument and instrument not in desk.instruments else instrument
    groups: dict[tuple[str, tuple[str, ...]], list[Mapping[str, Any]]] = {}
    for score in record.history:
        if score.withdrawn or isinstance(score.value, NoValue) or wanted not in ("", score.instrument):
            continue
        observation = record.observations[score.key]
        groups.setdefault((score.instrument, labels_of(observation)), []).append(observation)
    return [_Found(desk.instruments[name], labels, scores) for (name, labels), scores in groups.items()]


def _decided(
    found: Sequence[_Found], store: Store, policy: Policy, question: Question, now: datetime
) -> tuple[Disclosure, list[Given]]:
    """Return the decision about each group, and the scores that may go."""
    requests = [(group, _request(group, store, policy, question, now)) for group in found]
    consents = consents_of(store, {question.patient}).get(question.patient, ())
    grounds = Grounds(consents, policy.consent.defaults, now)
    given, withheld, kept, silenced = [], [], list[Given](), 0
    for group, request in requests:
        answer = to_somebody(request, grounds)
        names = tuple(f"Observation/{score.get('id')}" for score in group.scores)
        judged = Judged(group.instrument.title, group.labels, names, answer.decision)
        if not isinstance(answer, DisclosurePass):
            withheld.append(judged)
        elif may_carry(group.labels, ceiling_of(judged)):
            given.append(judged)
            kept.append(Given(answer, group.scores))
        else:
            silenced += len(names)
    parties = (question.patient, question.recipient, question.purpose)
    return Disclosure(*parties, tuple(given), tuple(withheld), silenced), kept


def _request(group: _Found, store: Store, policy: Policy, question: Question, now: datetime) -> Any:
    datum = datum_of(group.instrument)
    datum = msgspec.structs.replace(datum, labels=datum.under(group.labels)).at(question.level)
    return asked(store, policy, question._replace(instrument=group.instrument.id), datum, now)


def _access(disclosure: Disclosure, policy: Policy, now: datetime) -> Access:
    given = disclosure.given
    table = policy.consent.version
    ground = Ground(bool(given), disclosure.consents, table, disclosure.reasons)
    names = tuple(name for group in given or disclosure.withheld for name in group.names)
    return Access(
        Action.DISCLOSE, disclosure.subject, now, names, disclosure.purpose, disclosure.recipient, ground=ground
    )


def _is_named(consent: Mapping[str, Any], references: Sequence[str]) -> bool:
    reference = f"Consent/{consent.get('id')}"
    return is_shaped(consent) and any(name.partition("/_history/")[0] == reference for name in references)


def _manifest(
    disclosure: Disclosure, files: Mapping[str, bytes], bundle: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return what was given, with a hash of each file; it holds no score."""
    return {
        "created": instant(now),
        "patient": disclosure.subject,
        "recipient": disclosure.recipient,
        "purpose": disclosure.purpose,
        "decisions": [group.decision.id for group in disclosure.given],
        "table": disclosure.given[0].decision.table,
        "consents": list(disclosure.consents),
        "labels": [label["code"] for label in bundle["meta"]["security"]],
        "scores": sum(len(group.names) for group in disclosure.given),
        "complete": not disclosure.left_out,
        "files": [
            {"name": name, "bytes": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in files.items()
        ],
    }


def _write(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write the files, the manifest last: a folder without one is not whole."""
    last = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    for name, content in {**files, MANIFEST: last}.items():
        with new_file(folder / name) as file:
            file.write(content)
