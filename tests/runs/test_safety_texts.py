"""What safety reviews say: four languages that ship, and a site's own sentences in their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fhir_alliance.config import TEMPLATE, Config, SafetySection, load_config
from fhir_alliance.core.safety_reviews import SafetyText
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.policy import policy_of
from fhir_alliance.runs.safety_texts import safety_texts, shipped_texts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for a site's file."""
    return tmp_path / "safety.toml"


def test_four_languages_ship_whole() -> None:
    """English, German, Spanish and French have every sentence, no two alike between languages, and no phone number."""
    texts = shipped_texts()
    assert set(texts) == {"en", "de", "es", "fr"}
    for name in set(SafetyText.__struct_fields__) - {"phone"}:
        assert len({getattr(text, name) for text in texts.values()}) == 4
    assert {text.phone for text in texts.values()} == {""}
    assert not any(char.isdigit() for text in texts.values() for char in text.client + text.crisis)


def test_a_site_replaces_one_sentence(file: Path) -> None:
    """What a site's file says takes the place of what ships; all else stays, in all languages."""
    file.write_text('[de]\nphone = "030 12"\ncrisis = "Unser Plan."\n', encoding="utf-8")
    texts, shipped = safety_texts(file), shipped_texts()
    assert (texts["de"].phone, texts["de"].crisis, texts["de"].ask) == ("030 12", "Unser Plan.", shipped["de"].ask)
    assert texts["en"] == shipped["en"]
    assert shipped_texts()["de"].phone == ""


def test_a_site_adds_a_language(file: Path) -> None:
    """A new language that is whole is taken; the crisis text and the phone may be left out."""
    names = [name for name in SafetyText.__struct_fields__ if name not in ("phone", "crisis")]
    file.write_text("[tr]\n" + "".join(f'{name} = "{name}"\n' for name in names), encoding="utf-8")
    assert safety_texts(file)["tr"].crisis == ""
    policy = policy_of(Config(safety=SafetySection(language="tr", text_file=file)))
    assert policy.safety.staff().ask == "ask"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[tr]\ntitle = "x"\n', "lacks answered"),
        ('[en]\nask = "  "\n', "lacks ask"),
        ('[en]\nnope = "x"\n', "no sentence called nope"),
        ('[en]\nlate = "{hours}"\n', "late may fill in {days} and {date} only"),
        ('[en]\noverdue = "{"\n', "overdue may fill in {hours} only"),
        ('[en]\nwith_phone = "{phone.x}"\n', "with_phone may fill in {phone} only"),
        ("[en]\nask = 1\n", "en.ask"),
        ("en = 1\n", "en"),
        ("[en\n", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_run(file: Path, content: str, words: str) -> None:
    """A sentence that is missing, unknown, empty or fills in what nobody gives is told with file and place."""
    file.write_text(content, encoding="utf-8")
    with pytest.raises(StopRun) as stopped:
        safety_texts(file)
    assert stopped.value.code == "FA125"
    assert words in stopped.value.message


def test_no_file_and_no_such_language(file: Path) -> None:
    """A file that is not there, and a language that nobody wrote, stop the run before anything is read."""
    for section in (SafetySection(text_file=file), SafetySection(language="xx")):
        with pytest.raises(StopRun, match="FA125"):
            policy_of(Config(safety=section))


def test_the_configuration_reaches_the_policy(tmp_path: Path) -> None:
    """Owner, supervisor, hours and language are those of the file; the template has every key at its default."""
    path = tmp_path / "fhir-alliance.toml"
    path.write_text(
        '[safety]\nowner = "PractitionerRole/call"\nescalate_to = "Practitioner/sue"\ndue_hours = 4\n'
        'acknowledge_within_hours = 1\nlanguage = "fr"\n', encoding="utf-8",
    )  # fmt: skip
    policy = policy_of(load_config(path, {})).safety
    assert (policy.owner, policy.escalate_to) == ("PractitionerRole/call", "Practitioner/sue")
    assert (policy.due_hours, policy.acknowledge_within_hours, policy.language) == (4, 1, "fr")
    path.write_text(TEMPLATE, encoding="utf-8")
    assert load_config(path, {}).safety == SafetySection()


@pytest.mark.parametrize(
    "person", ["Dr. Lea", "Patient/p1", "Practitioner/", "Practitioner/a b", "https://x/Practitioner/1"]
)
def test_an_owner_is_somebody_of_this_store(person: str) -> None:
    """Whoever is asked is named as a reference that a Task can have as its owner, and is never the client."""
    with pytest.raises(ValidationError):
        SafetySection(owner=person)
