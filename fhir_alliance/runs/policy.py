"""What a site has decided, as the pure core wants it."""

from __future__ import annotations

import msgspec

from fhir_alliance.config import (
    Config,
    ConsentSection,
    DeliverySection,
    IntakeSection,
    RulesSection,
    RuleThreshold,
    SafetySection,
)
from fhir_alliance.core.agenda import Agenda
from fhir_alliance.core.boundaries import Boundaries
from fhir_alliance.core.consent import TREAT, ConsentPolicy
from fhir_alliance.core.consent_request import Action, Datum, Recipient, Request, Role
from fhir_alliance.core.intake import SignerPolicy
from fhir_alliance.core.model import Family
from fhir_alliance.core.ordering import Cadence
from fhir_alliance.core.reviews import ReviewPolicy
from fhir_alliance.core.rules import RULE_IDS
from fhir_alliance.core.rules.chart import Course
from fhir_alliance.core.rules.settings import ChosenThreshold, RuleSettings
from fhir_alliance.core.safety_reviews import SafetyPolicy
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.answers import whole
from fhir_alliance.runs.agenda import load_agenda
from fhir_alliance.runs.catalog import Catalog
from fhir_alliance.runs.consent_files import load_boundaries, load_table
from fhir_alliance.runs.course_file import load_courses
from fhir_alliance.runs.safety_texts import safety_texts, shipped_texts


class Policy(msgspec.Struct, frozen=True):
    """Consent, rules and the courses they expect, reviews and what they talk about, what is written besides scores."""

    consent: ConsentPolicy = ConsentPolicy()
    rules: RuleSettings = RuleSettings()
    review: ReviewPolicy = ReviewPolicy()
    with_items: bool = False
    agenda: Agenda = msgspec.field(default_factory=load_agenda)
    with_algorithms: bool = False
    part2_programs: frozenset[str] = frozenset()
    courses: tuple[Course, ...] = ()
    with_findings: bool = False
    safety: SafetyPolicy = msgspec.field(default_factory=lambda: SafetyPolicy(shipped_texts()))
    with_provenance: bool = True
    boundaries: Boundaries = Boundaries()
    intake: SignerPolicy | None = None
    delivery: DeliverySection = DeliverySection()
    gives_after_death: bool = False


def cadences_of(config: Config, catalog: Catalog) -> tuple[Cadence, ...]:
    """Return how often the clinic asks for which form; raises StopRun FA101 for an instrument that is not known."""
    return tuple(
        Cadence(catalog.find(form.instrument).id, form.every_days, form.due_days) for form in config.order.form
    )


def rule_settings(section: RulesSection) -> RuleSettings:
    """Return the settings of the rules; raises StopRun FA131 where a rule is switched off that there is none of."""
    if strange := sorted(set(section.off) - set(RULE_IDS)):
        raise StopRun("FA131", f"[rules] off: there is no rule {', '.join(strange)}.", "See: fhir-alliance rules list.")
    plain = section.model_dump(exclude={"threshold", "courses"})
    return RuleSettings(**plain, threshold=tuple(_threshold(part) for part in section.threshold))


def _threshold(part: RuleThreshold) -> ChosenThreshold:
    line, change = (None if value is None else whole(value) for value in (part.line, part.reliable_change))
    return ChosenThreshold(part.instrument, part.scale, line, change, part.source)


def consent_policy(config: Config) -> ConsentPolicy:
    """Return what the site decides about sharing; raises StopRun FA320 where its table cannot be used."""
    table = load_table(config.consent.table)
    record = _record(config.consent)
    plain = [Request("?", Action.USE, record, TREAT, Datum.of((), family=family)) for family in Family]
    if config.consent.default == "permit":
        return ConsentPolicy(all(table.row_for(request).permit for request in plain), TREAT, table, record)
    table = table.opt_in()
    if any(table.row_for(request).permit for request in plain):
        raise StopRun(
            "FA320", "the table of [consent] opens the record to everybody, and its default is deny.",
            'Name the record in that row: to = ["custodian"].',
        )  # fmt: skip
    return ConsentPolicy(False, TREAT, table, record)


def _record(section: ConsentSection) -> Recipient:
    """Return the clinic's own record as a recipient; it is a program's where the program keeps it."""
    names = frozenset({section.organization} if section.organization else ())
    roles = {Role.CUSTODIAN}
    if not names or "*" in section.part2_programs or not names.isdisjoint(section.part2_programs):
        roles.add(Role.PROGRAM)
    return Recipient(names, names, frozenset(roles), is_known=bool(names))


def policy_of(config: Config) -> Policy:
    """Return the policy that a configuration says."""
    return Policy(
        consent_policy(config),
        rule_settings(config.rules),
        ReviewPolicy(**config.review.model_dump(exclude={"agenda_folder"})),
        config.write.item_observations,
        load_agenda(config.review.agenda_folder),
        config.write.algorithms,
        frozenset(config.consent.part2_programs),
        load_courses(config.rules.courses),
        config.write.findings,
        _safety_policy(config.safety),
        config.write.provenance,
        load_boundaries(config.consent.roles),
        _signer_policy(config.consent.intake),
        config.delivery,
        config.consent.gives_after_death,
    )


def _signer_policy(section: IntakeSection) -> SignerPolicy | None:
    return SignerPolicy(section.adult_at, section.guardians, section.proxies) if section.on else None


def _safety_policy(section: SafetySection) -> SafetyPolicy:
    texts = safety_texts(section.text_file)
    if section.language not in texts:
        known = ", ".join(sorted(texts))
        raise StopRun("FA125", f"[safety] language: there is no text in {section.language!r}.", f"There is: {known}.")
    return SafetyPolicy(texts, **section.model_dump(exclude={"text_file"}))
