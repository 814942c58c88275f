"""By which names responses call for a form: canonicals, aliases, versions, copies, LOINC codes; what a site adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fhir_alliance.core.keys import derived
from fhir_alliance.core.model import Instrument, Item
from fhir_alliance.errors import ParkItem, StopRun
from fhir_alliance.fhir.answers import FormReader, flat
from fhir_alliance.fhir.identifiers import LOINC, local
from fhir_alliance.fhir.learning import (
    Names,
    Resources,
    carries_scoring,
    contained_form,
    fingerprint,
    loinc_codes,
    names_of,
    of_its_own,
    of_known,
)
from fhir_alliance.fhir.questions import read_form
from fhir_alliance.fhir.sdc import site_form
from fhir_alliance.fhir.versions import order
from fhir_alliance.fhir.weights import Terminology
from fhir_alliance.fhir.wire import PlainResponse, WireResponse, strict_json


class KnownForms:
    """A compiled reader for every form that is known, by all its names.

    instruments: by id, those of the site's own Questionnaires included.
    critical: the safety items of each edition of an instrument, and of its current one by its id.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        questionnaires: Mapping[str, Mapping[str, Any]],
        earlier: Sequence[tuple[Instrument, Mapping[str, Any]]] = (),
    ) -> None:
        """Compile readers.

        questionnaires: our own, by instrument id.
        earlier: versions beside the current ones, each with its Questionnaire.
        """
        self.instruments = dict(instruments)
        self.critical: dict[str, tuple[Item, ...]] = {}
        self._by_url: dict[str, FormReader] = {}
        self._exact: dict[str, FormReader] = {}
        self._own_url: dict[str, str] = {}
        self._coded: list[tuple[frozenset[str], FormReader]] = []
        self._refused: dict[str, ParkItem] = {}
        self._supplied: dict[str, tuple[Resources, Resources]] = {}
        for instrument in instruments.values():
            self._take_in(instrument, questionnaires.get(instrument.id))
        for instrument, questionnaire in earlier:
            reader = FormReader(instrument, questionnaire)
            self._exact[f"{instrument.url}|{questionnaire['version']}"] = reader
            self._note_critical(reader)

    def _take_in(self, instrument: Instrument, questionnaire: Mapping[str, Any] | None) -> None:
        """Make an instrument of ours known by all its names."""
        reader = FormReader(instrument, questionnaire)
        names = (f"Questionnaire/{name}" for name in (instrument.id, *instrument.also_known))
        for url in (instrument.url, *instrument.aliases, *names):
            self._by_url.setdefault(url, reader)
        self._exact[f"{instrument.url}|{instrument.version}"] = reader
        self._own_url[instrument.url] = instrument.version
        self._note_critical(reader)
        codes = frozenset(code.code for item in instrument.items for code in item.codes if code.system == LOINC)
        if codes:
            self._coded.append((codes, reader))

    def is_known(self, canonical: str) -> bool:
        """Return whether a form is known by this canonical, its version aside."""
        return canonical.partition("|")[0] in self._by_url

    def _note_critical(self, reader: FormReader) -> None:
        self.critical[reader.edition] = reader.critical
        self.critical.setdefault(reader.instrument.id, reader.critical)

    def learn(
        self, questionnaire: Mapping[str, Any], value_sets: Resources = (), code_systems: Resources = ()
    ) -> Instrument | None:
        """Take in a site's Questionnaire; return the instrument that its responses are scored as, None for none.

        That is one of ours where the items carry its LOINC codes, or else its own where it carries SDC scoring.
        value_sets, code_systems: where its answers are worth what their concepts say.
        One that cannot be scored is remembered with the reason, and its responses are parked with it.
        """
        names = names_of(questionnaire)
        if names is None or names.url in self._own_url or (not names.version and names.url in self._by_url):
            return None
        supplied = (list(value_sets), list(code_systems))
        try:
            reader = self._learnt(questionnaire, *supplied)
            if reader is not None and names.exact in self._exact:
                self._hold_to_twin(names, reader, *supplied)
                reader = self._exact[names.exact]
        except StopRun as fault:
            self._refuse(names, fault)
            return None
        if reader is None:
            return None
        self._settle(names, reader)
        self._supplied.setdefault(reader.edition, supplied)
        return reader.instrument

    def _learnt(
        self, questionnaire: Mapping[str, Any], value_sets: Resources, code_systems: Resources
    ) -> FormReader | None:
        """Return the reader of a site's Questionnaire, None where nothing in it can be scored; raises StopRun."""
        form = read_form(questionnaire)
        codes = loinc_codes(form)
        known, has_scoring = self._by_codes(codes.values(), is_whole=True), carries_scoring(form)
        if known is not None:
            own = {code.code for item in known.instrument.items for code in item.codes if code.system == LOINC}
            if not has_scoring or own <= set(codes.values()):
                terminology = Terminology(form, value_sets, code_systems)
                return of_known(known.instrument, questionnaire, codes, terminology)
        if not has_scoring:
            return None
        critical = {
            code.code: item.critical
            for items in self.critical.values()
            for item in items
            for code in item.codes
            if code.system == LOINC and item.critical is not None
        }
        site = site_form(questionnaire, value_sets, code_systems, critical)
        instrument = msgspec.structs.replace(site.instrument, id=self._free_id(site.instrument))
        return of_its_own(site._replace(instrument=instrument), questionnaire)

    def _free_id(self, instrument: Instrument) -> str:
        """Return the instrument's id, made longer where another form has it."""
        other = self.instruments.get(instrument.id)
        if other is None or other.url == instrument.url:
            return instrument.id
        return f"{instrument.id[:50]}-{derived(instrument.url)[:8]}"

    def _settle(self, names: Names, reader: FormReader) -> None:
        """Make a site's form known by its names; without a version, its newest one is meant."""
        instrument = reader.instrument
        self._note_critical(reader)
        self._exact[names.exact] = reader
        before = self._by_url.get(names.url)
        if before is None or order(str(before.questionnaire.get("version", ""))) < order(names.version):
            self._by_url[names.url] = reader
            if reader.site is not None:
                self.instruments[instrument.id] = instrument
        if names.relative:
            self._by_url.setdefault(names.relative, reader)

    def _hold_to_twin(self, names: Names, reader: FormReader, value_sets: Resources, code_systems: Resources) -> None:
        """Raise StopRun FA106, and forget both, where another Questionnaire of the same name and version differs."""
        first = self._exact[names.exact]
        if fingerprint(first.questionnaire, *self._supplied.get(first.edition, ((), ()))) != fingerprint(
            reader.questionnaire, value_sets, code_systems
        ):
            del self._exact[names.exact]
            self._by_url = {name: known for name, known in self._by_url.items() if known is not first}
            raise StopRun("FA106", "two Questionnaires of that name and version score differently.", "Keep one.")

    def _refuse(self, names: Names, fault: StopRun) -> None:
        """Remember why a Questionnaire cannot be scored, for the responses that name it."""
        for name in names.all:
            self._refused.setdefault(name, ParkItem(fault.code, f"its Questionnaire: {fault.message}", fault.hint))

    def reader_of(self, wire: WireResponse | PlainResponse, line: bytes = b"", base: str = "") -> FormReader:
        """Return the reader for a response; raises ParkItem where there is none: FA208, FA217, FA218 or its reason."""
        canonical = wire.questionnaire or ""
        reader = self._exact.get(canonical)
        if reader is not None:
            return reader
        if canonical.startswith("#") and line:
            return self._contained(wire, canonical, line)
        url, _, version = canonical.partition("|")
        if canonical in self._refused:
            raise self._refused[canonical]
        reader = self._by_url.get(url) or (self._by_url.get(local(url, base)) if base else None)
        if reader is None and "/Questionnaire/" in url:
            reader = self._by_url.get("Questionnaire/" + url.rpartition("/")[2]) if not url.startswith("http") else None
        if reader is None and url in self._refused:
            raise self._refused[url]
        if reader is None:
            return self._by_link_ids(wire)
        is_other = version and self._own_url.get(url, version) != version
        if is_other or (version and reader.site is not None and reader.questionnaire.get("version")):
            raise ParkItem(
                "FA217", "the questionnaire's version is not known.", "Install the version that was answered."
            )
        return reader

    def _by_link_ids(self, wire: WireResponse | PlainResponse) -> FormReader:
        items = wire.item if isinstance(wire, PlainResponse) else flat(wire.item)
        reader = self._by_codes(item.link_id.rpartition("/")[2] for item in items)
        if reader is None:
            raise ParkItem(
                "FA208", "the questionnaire is not known.", "Add the instrument, or an alias for its canonical."
            )
        return reader

    def _contained(self, wire: WireResponse | PlainResponse, reference: str, line: bytes) -> FormReader:
        """Return the reader for a response with its own copy of the Questionnaire, which has to say what ours says."""
        copy, others = contained_form(strict_json(line), reference)
        names = names_of(copy)
        known = names and (self._exact.get(names.exact) or self._by_url.get(names.url))
        if not known:
            return self._by_link_ids(wire)
        if names and known is not self._exact.get(names.exact):
            named = msgspec.structs.replace(wire, questionnaire=names.exact)
            known = self.reader_of(named)
        value_sets, code_systems = self._supplied.get(known.edition, ((), ()))
        try:
            ours = fingerprint(known.questionnaire, value_sets, code_systems)
            theirs = fingerprint(copy, [*others, *value_sets], code_systems)
        except StopRun:
            theirs, ours = "", "?"
        if ours != theirs:
            raise ParkItem(
                "FA218", "its own copy of the Questionnaire differs in items, answers or scoring.",
                "A form is scored by its canonical only; install the version that was answered.",
            )  # fmt: skip
        return known

    def _by_codes(self, codes: Iterable[str], *, is_whole: bool = False) -> FormReader | None:
        """Return the form of which at least half the coded items are there, if exactly one fits best.

        One that only has a part of what another has fits less. is_whole: no item can be missing, as in a Questionnaire.
        """
        present = set(codes)
        fitting = [(own & present, own, reader) for own, reader in self._coded if 2 * len(own & present) >= len(own)]
        best = [form for form in fitting if not any(form[0] < other[0] for other in fitting)]
        if is_whole:
            best = [form for form in best if form[0] == form[1]] or best
        return best[0][2] if len(best) == 1 else None
