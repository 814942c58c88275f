"""The shipped agenda is whole in every language, and a site can put its own words in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_alliance.core.agenda import TOPICS
from fhir_alliance.core.rules.agenda import AGENDA
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.agenda import load_agenda

LANGUAGES = ("de", "en", "es", "fr")


def test_every_topic_is_worded_in_every_language() -> None:
    """English, German, Spanish and French have as many questions to each topic, none shared by two languages."""
    words = load_agenda().words
    assert tuple(sorted(words)) == LANGUAGES
    assert {language: set(topics) for language, topics in words.items()} == {key: set(TOPICS) for key in LANGUAGES}
    for topic in TOPICS:
        assert len({len(words[language][topic]) for language in LANGUAGES}) == 1
    questions = [line for topics in words.values() for lines in topics.values() for line in lines]
    assert len(questions) == len(set(questions))


def test_rules_name_topics_only() -> None:
    """Whatever a rule puts on the agenda is a topic, so that it is asked in the client's language."""
    assert {topic for topics in AGENDA.values() for topic in topics} <= set(TOPICS)


def test_a_sites_words_come_first(tmp_path: Path) -> None:
    """A site's file replaces the topics that it names in its language, and may add a language."""
    (tmp_path / "de.toml").write_text('[topics]\ngoals = ["Was ist dran?"]\n', encoding="utf-8")
    (tmp_path / "nl.toml").write_text('[topics]\ngoals = ["Waar werken we aan?"]\n', encoding="utf-8")
    agenda = load_agenda(tmp_path)
    assert agenda.questions(("goals",), "de") == ("Was ist dran?",)
    assert agenda.questions(("goals",), "nl") == ("Waar werken we aan?",)
    for topic, language in (("bond", "de"), ("goals", "en")):
        assert agenda.questions((topic,), language) == load_agenda().questions((topic,), language)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[topics]\nweather = ['?']", "no topic weather"),
        ("[topics]\ngoals = 'one'", "topics.goals"),
        ("[topics]\ngoals = ['']", "topics.goals"),
        ("[other]", "topics"),
        ("[topics", "is not TOML"),
    ],
)
def test_a_file_that_is_not_understood_stops_the_run(tmp_path: Path, text: str, told: str) -> None:
    """A mistake in a site's agenda is told by file and place, and nothing is asked by half."""
    (tmp_path / "en.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StopRun, match="FA132") as error:
        load_agenda(tmp_path)
    assert told in str(error.value)


def test_a_folder_without_an_agenda_stops_the_run(tmp_path: Path) -> None:
    """A folder that is named and holds no agenda is a mistake."""
    with pytest.raises(StopRun, match="FA132"):
        load_agenda(tmp_path / "none")
