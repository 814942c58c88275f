"""The agenda: questions in the client's language, each once."""

from __future__ import annotations

from fhir_alliance.core.agenda import Agenda

AGENDA = Agenda(
    {
        "en": {"goals": ("Goals?", "Still yours?"), "bond": ("Between us?",)},
        "de": {"goals": ("Ziele?", "Noch Ihre?")},
    }
)


def test_topics_become_questions_in_the_clients_language() -> None:
    """A topic's questions are asked as the form's language says, whatever its region; in English where it has none."""
    assert AGENDA.questions(("goals",), "de-CH") == ("Ziele?", "Noch Ihre?")
    assert AGENDA.questions(("goals", "bond"), "de") == ("Ziele?", "Noch Ihre?", "Between us?")
    assert AGENDA.questions(("goals",), "") == AGENDA.questions(("goals",), "tr") == ("Goals?", "Still yours?")


def test_a_rules_own_question_stands_as_it_is() -> None:
    """What is no topic is asked in the rule's own words, and no question is asked twice."""
    assert AGENDA.questions(("How was the move?", "bond", "bond"), "en") == ("How was the move?", "Between us?")


def test_a_question_is_not_asked_in_two_languages() -> None:
    """Where the client's language has changed, a question that stands already is not asked again in the other."""
    assert AGENDA.once(("Goals?", "Own?", "Ziele?", "Noch Ihre?")) == ("Goals?", "Own?", "Noch Ihre?")
