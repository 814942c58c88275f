"""The rules' settings: one default everywhere, every key in the template, and choices that reach the rules."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from fhir_alliance.config import TEMPLATE, Config, RulesSection
from fhir_alliance.core.rules.settings import ChosenThreshold, RuleSettings
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.policy import rule_settings


def test_the_configuration_has_the_defaults_of_the_rules() -> None:
    """An empty `[rules]` gives the settings that the rules have by themselves."""
    assert rule_settings(RulesSection()) == RuleSettings()
    assert set(RulesSection.model_fields) == {*RuleSettings.__struct_fields__, "courses"}


def test_the_template_documents_every_setting_with_its_default() -> None:
    """What `init` writes names every key of `[rules]`, and says the same as no file at all."""
    rules = tomllib.loads(TEMPLATE)["rules"]
    assert set(rules) == set(RulesSection.model_fields) - {"threshold"}
    assert "[[rules.threshold]]" in TEMPLATE
    assert Config.model_validate({"rules": rules}).rules == RulesSection()


def test_a_sites_own_thresholds_reach_the_rules() -> None:
    """A threshold of one scale is taken as exact points, and stands before the published one."""
    section = RulesSection.model_validate(
        {"threshold": [{"instrument": "pcl-5", "line": 33, "reliable_change": "7.5"}]}
    )
    assert rule_settings(section).threshold == (ChosenThreshold("pcl-5", "total", 33, Decimal("7.5")),)


def test_a_rule_that_is_none_cannot_be_switched_off() -> None:
    """A slip in `off` stops the run, or else the rule would silently stay on."""
    assert rule_settings(RulesSection(off=("flat-perfect",))).off == ("flat-perfect",)
    with pytest.raises(StopRun, match=r"FA131 .*flat-perfekt"):
        rule_settings(RulesSection(off=("flat-perfekt",)))
