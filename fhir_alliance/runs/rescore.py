"""The story of scoring again, after an instrument or a rule was corrected: what was scored is scored anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from fhir_alliance.core.keys import PANEL, score_key
from fhir_alliance.core.model import Response
from fhir_alliance.runs.audit import Tell, queried, untold, written
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.planning import Page, plan_page
from fhir_alliance.runs.policy import Policy
from fhir_alliance.runs.programs import labelled
from fhir_alliance.runs.provenance import provenances
from fhir_alliance.runs.reading import Parts, Reading
from fhir_alliance.runs.record import Record
from fhir_alliance.runs.score import Desk
from fhir_alliance.runs.summary import EVERYBODY, Summary
from fhir_alliance.runs.sync import learn
from fhir_alliance.runs.turn import Left, Turn
from fhir_alliance.stores.journal import Journal
from fhir_alliance.stores.store import Page as Portion
from fhir_alliance.stores.store import Store


def rescore(
    store: Store, catalog: Catalog, journal: Journal, policy: Policy, now: datetime, *,
    reason: str, instrument: str = "", explain: str = EVERYBODY, dry_run: bool = False,
    watch: Callable[[int], None] = lambda count: None, tell: Tell = untold,
) -> Summary:  # fmt: skip
    """Return what was done to bring every score that stands to what today's rules give, and its reviews with it.

    reason: stands as a note in each Observation that changes.  instrument: its id; empty for all.
    explain: a client's reference, whose changes are told as a story; everybody's are counted by what they went from
    and to.
    Forms that were never scored are left to `sync`, and so is the bookmark. A second run changes nothing.
    Raises StopRun FA101 for an instrument that is not known.
    """
    summary = Summary(explain)
    tell = untold if dry_run else tell
    desk = Desk(catalog, policy)
    finder, parts = learn(desk, store), Parts()
    wanted = catalog.find(instrument).id if instrument and instrument not in desk.instruments else instrument
    for portion in store.responses("", ()):
        finder.find(portion)
        forms = labelled(_readable(portion, desk, store, now, wanted), store, policy.part2_programs)
        reading = Reading(forms, [], [], [], [], [], {})
        tell(queried(reading.subjects, now))
        left = Left(journal, summary, now, dry_run=dry_run)
        for part in parts.of(reading, store):
            record = Record(store, part.subjects, desk.instruments, people=part.people)
            parts.learn(record)
            scored = [form for form in part.forms if _panel_key(form) in record.observations]
            summary.read += len(scored)
            turn = Turn(store, record, journal, summary, now, dry_run, left)
            plan = plan_page(Page(scored, (), record), store, desk, now, dry_run=dry_run)
            summary.take(plan.summary)
            beside = partial(provenances, cleared=plan.cleared, desk=desk, now=now)
            sent = turn.put(plan.writes, reason, beside)
            tell(written(sent, plan.cleared, policy.consent.version, now))
            turn.confirm()
        left.settle(Portion([], ""), (), (), {})
        watch(summary.read)
    if not dry_run:
        store.finish()
    return summary


def _readable(page: Portion, desk: Desk, store: Store, now: datetime, wanted: str) -> Sequence[Response]:
    """Return the page's forms of the instrument, oldest first; what is parked, unfinished or withdrawn is sync's."""
    read = (desk.forms.read(record.body, now, store.base) for record in page.records)
    forms = [form for form in read if isinstance(form, Response) and wanted in ("", form.instrument)]
    return sorted(forms, key=lambda form: (form.when, form.key))


def _panel_key(form: Response) -> str:
    return score_key(form.key, form.instrument, PANEL, form.rater)
