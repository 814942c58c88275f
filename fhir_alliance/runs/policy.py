"""What a site has decided, as the pure core wants it."""

from __future__ import annotations

import msgspec

from fhir_alliance.config import Config
from fhir_alliance.core.agenda import Agenda
from fhir_alliance.core.consent import ConsentPolicy
from fhir_alliance.core.ordering import Cadence
from fhir_alliance.core.reviews import ReviewPolicy
from fhir_alliance.core.rules import RuleSettings
from fhir_alliance.runs.agenda import load_agenda
from fhir_alliance.runs.catalog import Catalog


class Policy(msgspec.Struct, frozen=True):
    """Consent, rules, reviews and what they talk about, and what is written besides scores."""

    consent: ConsentPolicy = ConsentPolicy()
    rules: RuleSettings = RuleSettings()
    review: ReviewPolicy = ReviewPolicy()
    with_items: bool = False
    agenda: Agenda = msgspec.field(default_factory=load_agenda)
    with_algorithms: bool = False
    part2_programs: frozenset[str] = frozenset()


def cadences_of(config: Config, catalog: Catalog) -> tuple[Cadence, ...]:
    """Return how often the clinic asks for which form; raises StopRun FA101 for an instrument that is not known."""
    return tuple(
        Cadence(catalog.find(form.instrument).id, form.every_days, form.due_days) for form in config.order.form
    )


def policy_of(config: Config) -> Policy:
    """Return the policy that a configuration says."""
    return Policy(
        ConsentPolicy(default_permit=config.consent.default == "permit"),
        RuleSettings(**config.rules.model_dump()),
        ReviewPolicy(**config.review.model_dump(exclude={"agenda_folder"})),
        config.write.item_observations,
        load_agenda(config.review.agenda_folder),
        config.write.algorithms,
        frozenset(config.consent.part2_programs),
    )
