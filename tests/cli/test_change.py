"""`change`: the two shapes of its JSON, where its numbers are from, and what it refuses without quoting anybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import Result

from fhir_alliance.cli.change import METHODS
from fhir_alliance.core.change_methods import Method

Run: TypeAlias = Callable[..., Result]

# First scores 10, 20, 30 of the complete pairs: mean 20, SD 10. With reliability .68 a change of 15.68 is reliable.
ROWS = (
    ("anna", "1", "10"), ("anna", "2", "30"),
    ("bert", "1", "20"), ("bert", "2", "2"),
    ("cleo", "1", "30"), ("cleo", "2", "14.32"),
    ("dora", "1", "60"), ("dora", "2", "NA"),
    ("emil", "2", "11"),
    ("anna", "3", "99"), ("fred", "3", "99"),
)  # fmt: skip
COLUMNS = ("--id", "client", "--time", "session", "--value", "total", "--first", "1", "--last", "2")
COUNTS = {"recovered", "improved", "unchanged", "deteriorated", "harmed", "not_computable"}
PAIR = ("--before", 30, "--after", 14, "--higher-is", "worse")


@pytest.fixture
def table(here: Path) -> Callable[..., Path]:
    """A function that writes a table, of these rows or of others."""

    def table(*rows: tuple[str, ...], delimiter: str = ",", start: str = "") -> Path:
        path = here / "scores.csv"
        lines = [delimiter.join(row) for row in (("client", "session", "total"), *(rows or ROWS))]
        path.write_text(start + "\n".join(lines) + "\n", encoding="utf-8")
        return path

    return table


def told(result: Result, status: int = 0) -> dict[str, Any]:
    """Return the JSON object on stdout of a run with this exit status."""
    assert result.exit_code == status, result.output
    return dict(json.loads(result.stdout))


# ------------------------------------------------------------- one pair


def test_the_example_of_jacobson_and_truax(run: Run) -> None:
    """Their hypothetical client (1991) improves reliably by 3.16 and stays below cut-off c, which is 50."""
    found = told(
        run(
            "change", "--before", 32.5, "--after", 47.5, "--sd", 7.5, "--reliability", 0.8, "--higher-is", "better",
            "--clinical-mean", 40, "--clinical-sd", 7.5, "--functional-mean", 60, "--functional-sd", 7.5,
            "--cutoff", "c", "--json",
        )
    )  # fmt: skip
    assert round(found["reliable_change"], 2) == 3.16
    assert (found["class"], found["cutoff"], found["change"]) == ("improved", 50, 15)
    assert "Jacobson & Truax 1991" in found["explanation"]


@pytest.mark.parametrize("cutoff", [(), ("--cutoff", 20)])
def test_one_pair_has_the_promised_shape(run: Run, cutoff: tuple[Any, ...]) -> None:
    """One pair gives reliable_change, class, cutoff and explanation; positive is better, whatever the scale means."""
    found = told(run("change", *PAIR, "--sd", 10, "--reliability", 0.68, *cutoff, "--json"))
    assert {"reliable_change", "class", "cutoff", "explanation"} <= set(found)
    assert found["reliable_change"] == 2
    assert (found["class"], found["cutoff"]) == (("recovered", 20) if cutoff else ("improved", None))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "standard deviation of first scores is not known"),
        (("--sd", 10), "reliability is not known"),
        (("--sd", 0, "--reliability", 0.8), "above 0"),
        (("--sd", 10, "--reliability", 1), "below 1"),
        (("--sd", 10, "--reliability", -0.1), "at least 0"),
        (("--sd", 10, "--reliability", 0.8, "--cutoff", "b"), "functional population"),
        (("--sd", 10, "--reliability", 0.8, "--method", "edwards-nunnally"), "mean of first scores is not known"),
        (
            ("--sd", 10, "--reliability", 0.8, "--clinical-mean", 20, "--clinical-sd", 9, "--method", "hsu-linn-lord"),
            "mean of last scores is not known",
        ),
        (("--method", "anchor"), "minimal important change"),
        (("--method", "percentage"), "percentage above 0"),
    ],
)
def test_what_cannot_be_computed_is_a_result_with_its_reason(run: Run, flags: tuple[Any, ...], words: str) -> None:
    """A number that is missing or impossible gives "not computable" and says which, in JSON and in words."""
    found = told(run("change", *PAIR, *flags, "--json"))
    assert (found["class"], found["reliable_change"], found["cutoff"]) == ("not_computable", None, None)
    assert words in found["explanation"]
    assert words in " ".join(run("change", *PAIR, *flags).stdout.split())


def test_a_percentage_of_nothing_is_not_computable(run: Run) -> None:
    """From a first score of 0 there is no percentage."""
    flags = ("--method", "percentage", "--percent", 50, "--higher-is", "worse", "--json")
    assert told(run("change", "--before", 0, "--after", 5, *flags))["class"] == "not_computable"
    assert told(run("change", "--before", 10, "--after", 5, *flags))["class"] == "improved"


def test_the_mean_of_the_clinical_population_serves_one_pair(run: Run) -> None:
    """Alone, a client regresses toward the clinical mean that is given: (20.4 - 28.4) / 4 = -2, toward better."""
    flags = ("--sd", 10, "--reliability", 0.84, "--clinical-mean", 20, "--clinical-sd", 10)
    found = told(
        run(
            "change", "--before", 30, "--after", 20.4, "--higher-is", "worse", *flags, "--method", "edwards-nunnally",
            "--json",
        )
    )  # fmt: skip
    assert found["reliable_change"] == 2


def test_an_instrument_gives_direction_and_caseness(run: Run) -> None:
    """PHQ-9 is worse when higher, and its caseness of 10 is the cut-off unless another is asked for."""
    flags = ("--instrument", "phq-9", "--before", 17, "--after", 8, "--sd", 5, "--reliability", 0.8, "--json")
    found = told(run("change", *flags))
    assert (found["class"], found["cutoff"]) == ("recovered", 10)
    assert told(run("change", *flags, "--cutoff", 8))["class"] == "improved"


@pytest.mark.parametrize(("before", "after"), [(28, 8), (17, -1)])
def test_an_instrument_bounds_its_scores(run: Run, before: int, after: int) -> None:
    """A score that PHQ-9 cannot give is not judged."""
    flags = ("--sd", 5, "--reliability", 0.8, "--json")
    found = told(run("change", "--instrument", "phq-9", "--before", before, "--after", after, *flags))
    assert found["class"] == "not_computable"
    assert "outside PHQ-9 total's 0-27" in found["explanation"]


def test_a_scale_is_meant_by_its_id(run: Run) -> None:
    """An alliance subscale is asked for by name, and is better when higher."""
    flags = ("--before", 5, "--after", 15, "--sd", 3, "--reliability", 0.8, "--json")
    assert told(run("change", "--instrument", "wai-sr", "--scale", "bond", *flags))["class"] == "improved"


# ------------------------------------------------------------- a table


def test_a_table_is_counted(run: Run, table: Callable[..., Path]) -> None:
    """By the SD of complete pairs' first scores anna is harmed, bert and cleo recover; dora and emil have no pair."""
    found = told(
        run(
            "change", "--csv", table(), *COLUMNS, "--higher-is", "worse", "--reliability", 0.68, "--cutoff", 15,
            "--json",
        )
    )  # fmt: skip
    assert {name: found[name] for name in COUNTS} == {
        "recovered": 2, "improved": 0, "unchanged": 0, "deteriorated": 0, "harmed": 1, "not_computable": 2,
    }  # fmt: skip
    assert (found["n"], found["used"], found["cutoff"]) == (5, 3, 15)
    assert found["reasons"] == {
        "There is no last score: its value is missing.": 1, "There is no first score: there is no row for it.": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "cutoff"),
    [
        ((), 0),  # a: 20 - 2 * 10
        (("--cutoff", "A"), 0),
        (("--functional-mean", 5, "--functional-sd", 10), 12.5),  # c: (10 * 5 + 10 * 20) / 20
        (("--functional-mean", 5, "--functional-sd", 2, "--cutoff", "b"), 9),  # b: 5 + 2 * 2
        (("--clinical-mean", 40, "--clinical-sd", 10), 20),  # a, of the population that is given
        (("--method", "anchor", "--minimal-change", 5), None),
        (("--method", "anchor", "--minimal-change", 5, "--cutoff", "a"), 0),
    ],
)
def test_a_table_stands_for_the_clinical_population(
    run: Run, table: Callable[..., Path], flags: tuple[Any, ...], cutoff: float | None
) -> None:
    """Its first scores' mean and SD make the cut-off, unless a clinical population is given."""
    found = told(
        run(
            "change", "--csv", table(), *COLUMNS, "--higher-is", "worse",
            *(() if "anchor" in flags else ("--reliability", 0.68)), *flags, "--json",
        )
    )  # fmt: skip
    assert found["cutoff"] == cutoff


@pytest.mark.parametrize("method", METHODS)
def test_every_method_counts_everybody(run: Run, table: Callable[..., Path], method: str) -> None:
    """By every method the classes and those without one add up to all clients."""
    flags = {"anchor": ("--minimal-change", 5), "percentage": ("--percent", 50)}.get(method, ("--reliability", 0.6))
    found = told(
        run("change", "--csv", table(), *COLUMNS, "--higher-is", "worse", "--method", method, *flags, "--json")
    )
    assert (found["n"], found["used"]) == (5, 3)
    assert sum(found[name] for name in COUNTS) == 5


def test_an_sd_that_is_given_stands_before_the_tables_own(run: Run, table: Callable[..., Path]) -> None:
    """With twice the SD nobody of the table changes reliably."""
    flags = ("--higher-is", "worse", "--reliability", 0.68, "--sd", 20, "--json")
    assert told(run("change", "--csv", table(), *COLUMNS, *flags))["unchanged"] == 3


@pytest.mark.parametrize(("delimiter", "start"), [(",", ""), (";", ""), ("\t", ""), (",", "\ufeff")])
def test_spreadsheets_dialects_are_read(run: Run, table: Callable[..., Path], delimiter: str, start: str) -> None:
    """Commas, semicolons, tabs and a byte order mark give the same counts."""
    path = table(delimiter=delimiter, start=start)
    found = told(run("change", "--csv", path, *COLUMNS, "--higher-is", "worse", "--reliability", 0.68, "--json"))
    assert (found["n"], found["used"]) == (5, 3)


def test_times_that_are_the_same_number_are_the_same(run: Run, table: Callable[..., Path]) -> None:
    """A statistics program writes session 1 as 1.0; it is meant by 1."""
    path = table(*((client, f"{session}.0", value) for client, session, value in ROWS))
    found = told(run("change", "--csv", path, *COLUMNS, "--higher-is", "worse", "--reliability", 0.68, "--json"))
    assert found["used"] == 3


def test_words_go_to_stdout_and_reasons_to_stderr(run: Run, table: Callable[..., Path]) -> None:
    """Without --json the counts stand on stdout with what they rest on, and why clients were left out on stderr."""
    result = run("change", "--csv", table(), *COLUMNS, "--higher-is", "worse", "--reliability", 0.68, "--cutoff", 15)
    assert result.exit_code == 0
    for words in ("5 clients, 3 with a class", "2 recovered", "66.67 %", "SD 10, reliability 0.68", "Cut-off is 15"):
        assert words in result.stdout
    assert "1 not computable: There is no last score: its value is missing." in result.stderr


def test_a_table_that_lacks_a_number_says_so_once(run: Run, table: Callable[..., Path]) -> None:
    """Without a reliability nobody has a class, and the reason is told with its number of clients."""
    result = run("change", "--csv", table(), *COLUMNS, "--higher-is", "worse", "--json")
    found = told(result)
    assert (found["used"], found["not_computable"]) == (0, 5)
    assert "3 not computable: jacobson-truax cannot be computed: the reliability is not known." in result.stderr
    in_words = run("change", "--csv", table(), *COLUMNS, "--higher-is", "worse")
    assert (in_words.exit_code, in_words.stderr) == (0, result.stderr)
    assert "5 clients, 0 with a class" in in_words.stdout


# ------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("SECRET-ID", "1", "SECRET-VALUE"), "line 2: its value is not a number"),
        (("SECRET-ID", "1", "1e999999999999"), "line 2: its value is not a number"),
        (("SECRET-ID", "1", "inf"), "line 2: its value is not a number"),
        (("SECRET-ID", "1", "77"), "line 2: it lies outside PHQ-9 total's 0-27"),
        (("anna", "1", "12"), "line 3: there is more than one row for it"),
        (("", "1", "12"), "line 2: nothing in the id column"),
    ],
)
def test_a_bad_row_is_parked_and_never_quoted(
    run: Run, table: Callable[..., Path], row: tuple[str, ...], words: str
) -> None:
    """A row that needs a person is told by its line; its client has no class, the others have, and it ends with 20."""
    good = tuple(
        (client, session, f"{points}")
        for client, first, last in (("anna", 20, 4), ("bert", 10, 9), ("cleo", 15, 9))
        for session, points in (("1", first), ("2", last))
    )
    result = run(
        "change", "--csv", table(row, *good), *COLUMNS, "--instrument", "phq-9", "--reliability", 0.9, "--json"
    )
    found = told(result, 20)
    assert f"parked: {words}" in result.stderr
    assert found["used"] == (2 if row[0] == "anna" else 3)
    assert not any(secret in result.output for secret in ("SECRET", "77", "anna", "1e9", "inf"))


@pytest.mark.parametrize(("rows", "last"), [(20, "line 21: its value is not a number"), (21, "and 1 more")])
def test_a_long_list_of_bad_rows_is_cut_and_says_so(run: Run, table: Callable[..., Path], rows: int, last: str) -> None:
    """Twenty parked rows are told; of more, how many."""
    bad = tuple((f"client {n}", "1", "bad") for n in range(rows))
    path = table(*bad, ("gwen", "2", "3"))
    result = run("change", "--csv", path, *COLUMNS, "--higher-is", "worse", "--reliability", 0.8)
    assert result.exit_code == 20
    lines = [line for line in result.stderr.splitlines() if line.startswith("parked: ")]
    assert (len(lines), lines[-1]) == (rows, f"parked: {last}")


@pytest.mark.parametrize(
    ("words", "told_words"),
    [
        ((), "--before and --after, or --csv"),
        (("--before", 3), "--before and --after, or --csv"),
        ((*PAIR, "--id", "client"), "give --csv too"),
        (("--csv", "scores.csv", *COLUMNS, *PAIR), "either --before and --after, or --csv"),
        (("--csv", "scores.csv", *COLUMNS[:-2]), "needs --last too"),
        (("--csv", "none.csv", *COLUMNS), "does not exist"),
        (("--before", 3, "--after", 4), "Give --higher-is or --instrument"),
        ((*PAIR, "--scale", "bond"), "give --instrument too"),
        ((*PAIR, "--instrument", "wai-sr"), "Leave --higher-is out"),
        (("--before", 3, "--after", 4, "--instrument", "wai-sr", "--scale", "none"), "no scale 'none'"),
        ((*PAIR, "--method", "none"), "'none' is not one of"),
        ((*PAIR, "--sd", "none"), "is not a number"),
        ((*PAIR, "--sd", "nan"), "is not a number"),
        ((*PAIR, "--sd", "1e-10"), "at most 10 digits"),
        ((*PAIR, "--cutoff", "d"), "is not a number"),
        ((*PAIR, "--functional-mean", 3), "only one is given"),
        ((*PAIR, "--clinical-sd", 3), "only one is given"),
        ((*PAIR, "--minimal-change", 3), "Add --method anchor"),
        ((*PAIR, "--percent", 50), "Add --method percentage"),
        ((*PAIR, "--method", "percentage", "--percent", 0.5), "--percent 50"),
        (("--csv", "scores.csv", *COLUMNS[:-1], "1.0", "--higher-is", "worse"), "are the same"),
        (("--csv", "scores.csv", "--id", "kunde", *COLUMNS[2:], "--higher-is", "worse"), "lacks the column 'kunde'"),
        (("--csv", "scores.csv", *COLUMNS[:-1], "9", "--higher-is", "worse"), "no row for --last"),
        (("--csv", "odd.csv", *COLUMNS, "--higher-is", "worse"), "no readable CSV"),
    ],
)
def test_misuse_ends_with_2(run: Run, table: Callable[..., Path], words: tuple[Any, ...], told_words: str) -> None:
    """A call that cannot be meant ends with 2, says what to give on stderr, and prints nothing on stdout."""
    table()
    Path("odd.csv").write_bytes(b"client,session,total\nanna,1,\xff\n")
    result = run("change", *words, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert told_words in " ".join(result.stderr.split())


def test_the_command_knows_every_method() -> None:
    """The methods that the command offers are those that can be computed."""
    assert set(METHODS) == {method.value for method in Method}


def test_help_has_an_example(run: Run) -> None:
    """`change --help` shows a call for a pair and one for a table."""
    result = run("change", "--help")
    assert result.exit_code == 0
    assert "fhir-alliance change --instrument phq-9 --before" in result.stdout
    assert "fhir-alliance change --csv" in result.stdout
