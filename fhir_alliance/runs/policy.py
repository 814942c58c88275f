"""What a site has decided, as the pure core wants it."""

from __future__ import annotations

import msgspec

from fhir_alliance.config import Config
from fhir_alliance.core.consent import ConsentPolicy
from fhir_alliance.core.reviews import ReviewPolicy
from fhir_alliance.core.rules import RuleSettings


class Policy(msgspec.Struct, frozen=True):
    """Consent, rules, reviews, and what is written besides scores."""

    consent: ConsentPolicy = ConsentPolicy()
    rules: RuleSettings = RuleSettings()
    review: ReviewPolicy = ReviewPolicy()
    with_items: bool = False


def policy_of(config: Config) -> Policy:
    """Return the policy that a configuration says."""
    return Policy(
        ConsentPolicy(default_permit=config.consent.default == "permit"),
        RuleSettings(**config.rules.model_dump()),
        ReviewPolicy(**config.review.model_dump()),
        config.write.item_observations,
    )
