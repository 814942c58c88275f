"""What a site decides about sharing, as files: understood whole or refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fhir_alliance.config import Config, ConsentSection
from fhir_alliance.core.consent import gate
from fhir_alliance.core.consent_request import Datum, Role
from fhir_alliance.core.model import Cleared, Family, Withheld
from fhir_alliance.errors import StopRun
from fhir_alliance.runs.consent_files import load_boundaries, load_table
from fhir_alliance.runs.policy import consent_policy
from fhir_alliance.testing import START, make_form

ROW = '[[row]]\nid = "a"\nsays = "x"\npermit = true\n'


def written(folder: Path, text: str) -> Path:
    """Return a file with this text."""
    path = folder / "file.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "version = ",
        "",
        'version = "1"\n',
        ROW,
        f'version = "1"\n{ROW}colour = "red"\n',
        f'version = "1"\n{ROW}to = ["everybody"]\n',
        f'version = "1"\n{ROW}purposes = ["FUN"]\n',
        f'version = "1"\n{ROW}levels = ["soul"]\n',
        f'version = "1"\n{ROW}needs = ["luck"]\n',
        f'version = "1"\n{ROW}people_at_least = -1\n',
        f'version = "1"\n{ROW}{ROW}',
    ],
)
def test_a_table_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    """A table with a fault, an unknown word or a row twice is no table: the run stops, and nothing is guessed."""
    with pytest.raises(StopRun) as told:
        load_table(written(tmp_path, text))
    assert told.value.code == "FA320"


def test_no_such_file(tmp_path: Path) -> None:
    """A file that is not there stops the run; it does not mean the default."""
    for load, code in ((load_table, "FA320"), (load_boundaries, "FA321")):
        with pytest.raises(StopRun) as told:
            load(tmp_path / "none.toml")
        assert told.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        '[[role]]\nwho = "tom"\nrole = "treating"\n',
        '[[role]]\nwho = "Practitioner/tom"\nrole = "friend"\n',
        '[[exclude]]\nwho = "Practitioner/tom"\nclient = "anna"\nreason = "other"\n',
        '[[exclude]]\nwho = "Practitioner/tom"\nclient = "Patient/a"\nreason = "he is her cousin"\n',
        '[[restrict]]\nclient = "Patient/a"\npurposes = []\nreason = "other"\n',
        '[[restrict]]\nclient = "Patient/a"\npurposes = ["FUN"]\nreason = "other"\n',
        '[[exclud]]\nwho = "Practitioner/tom"\n',
    ],
)
def test_a_list_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    """A list with a word that is not understood would let in whom it means to keep out: the run stops."""
    with pytest.raises(StopRun) as told:
        load_boundaries(written(tmp_path, text))
    assert told.value.code == "FA321"


def outcome(section: ConsentSection, family: Family = Family.OUTCOME, labels: tuple[str, ...] = ("R", "PSY")) -> bool:
    """Return whether a form without any Consent is cleared."""
    datum = Datum.of((), family=family, labels=labels)
    found = gate(make_form({"q1": 1}), (), consent_policy(Config(consent=section)), datum, START)
    assert isinstance(found, (Cleared, Withheld))
    return isinstance(found, Cleared)


def test_the_sites_default_is_kept() -> None:
    """`default = "deny"` shuts the record for all forms without a Consent, "permit" leaves it as the table says."""
    for family in Family:
        assert outcome(ConsentSection(), family)
        assert not outcome(ConsentSection(default="deny"), family)
    assert consent_policy(Config(consent=ConsentSection(default="deny"))).version.endswith("+opt-in")


def test_a_forms_own_labels_are_heard() -> None:
    """A form that is itself labelled as notes, or as a Part 2 program's elsewhere, is withheld without any Consent."""
    policy = consent_policy(Config(consent=ConsentSection(organization="Organization/c")))
    plain = make_form({"q1": 1})
    assert isinstance(gate(plain, (), policy, Datum.of(()), START), Cleared)
    for label in ("PSYTHPN", "42CFRPart2", "http://example.org|author-only"):
        form = msgspec.structs.replace(plain, labels=(label,))
        assert isinstance(gate(form, (), policy, Datum.of(()), START), Withheld), label


def test_a_table_for_outcome_forms_only(tmp_path: Path) -> None:
    """Where a site's table opens the record to outcome forms alone, alliance forms are withheld without a Consent."""
    row = ROW + 'to = ["custodian"]\nfamilies = ["outcome"]\n'
    section = ConsentSection(table=written(tmp_path, f'version = "1"\n{row}'))
    assert (outcome(section), outcome(section, Family.ALLIANCE)) == (True, False)


def test_a_table_that_opens_to_all_contradicts_asking_first(tmp_path: Path) -> None:
    """A table that permits everything to everybody cannot go with a default of deny: the run stops."""
    table = written(tmp_path, f'version = "1"\n{ROW}')
    with pytest.raises(StopRun) as told:
        consent_policy(Config(consent=ConsentSection(default="deny", table=table)))
    assert told.value.code == "FA320"


@pytest.mark.parametrize(
    ("organization", "programs", "is_program"),
    [
        ("", (), True),
        ("", ("Organization/p",), True),
        ("Organization/p", ("Organization/p",), True),
        ("Organization/c", ("Organization/p",), False),
        ("Organization/c", ("*",), True),
    ],
)
def test_whose_the_record_is(organization: str, programs: tuple[str, ...], is_program: bool) -> None:
    """A Part 2 program's scores go into the record of the program, and into no other clinic's without a Consent."""
    section = ConsentSection(organization=organization, part2_programs=programs)
    record = consent_policy(Config(consent=section)).recipient
    assert (Role.PROGRAM in record.roles) == is_program
    assert record.is_known == bool(organization)
    assert outcome(section, labels=("R", "PSY", "42CFRPart2")) == is_program
