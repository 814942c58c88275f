"""The domain, pure: nouns, scoring, consent, rules, reviews."""
