"""FHIRPath within bounds: what the language says, exact numbers, an empty sum that stays empty, and clear refusals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from fhirpathpy import evaluate as reference
from fhirpathpy.models import models

from fhir_alliance.errors import AllianceError, StopRun
from fhir_alliance.fhir.fhirpath import Evaluation
from fhir_alliance.fhir.fhirpath_syntax import FUNCTIONS, MAX_TEXT, parse

FORM = {
    "resourceType": "QuestionnaireResponse",
    "status": "completed",
    "item": [
        {"linkId": "a", "answer": [{"valueInteger": 3}]},
        {"linkId": "b", "answer": [{"valueDecimal": 1.5}]},
        {"linkId": "c", "answer": [{"valueCoding": {"system": "urn:s", "code": "x"}}]},
        {"linkId": "g", "item": [{"linkId": "a2", "answer": [{"valueInteger": 4, "item": [{"linkId": "deep"}]}]}]},
        {"linkId": "q", "answer": [{"valueQuantity": {"value": 2.5, "code": "d"}}]},
    ],
}


def given(text: str, **variables: Any) -> list[Any]:
    """Return what an expression gives for the form; codings are worth 7 points."""
    bound = {"resource": [FORM], **variables}
    return Evaluation(bound, lambda element: 7 if element == {"system": "urn:s", "code": "x"} else None).evaluate(
        parse(text), [FORM]
    )


def fault(text: str, **variables: Any) -> AllianceError:
    """Return why an expression gives nothing."""
    with pytest.raises(AllianceError) as caught:
        given(text, **variables)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1 + 0.2", [Decimal("0.3")]),
        ("1.10 + 1.10", [Decimal("2.2")]),
        ("7 / 2", [Decimal("3.5")]),
        ("6 / 2", [3]),
        ("7 div 2", [3]),
        ("-7 div 2", [-3]),
        ("7 mod 4", [3]),
        ("1 / 0", []),
        ("1 mod 0", []),
        ("2 + 3 * 4 - 1", [13]),
        ("(2 + 3) * 4", [20]),
        ("-3.abs()", [-3]),
        ("(-3).abs()", [3]),
        ("2.5.round()", [3]),
        ("(-2.5).round()", [-3]),
        ("2.345.round(2)", [Decimal("2.35")]),
        ("2.4.ceiling() + 2.6.floor() + 2.9.truncate()", [7]),
        ("2.power(10)", [1024]),
        ("9.sqrt()", [3]),
        ("(-9).sqrt()", []),
        ("'3'.toInteger() + '1.5'.toDecimal()", [Decimal("4.5")]),
        ("'x'.toInteger()", []),
        ("1.5.toInteger()", []),
        ("true.toInteger()", [1]),
    ],
)
def test_numbers_are_exact(text: str, expected: list[Any]) -> None:
    """Arithmetic is Decimal, a half is rounded away from zero, and a division by zero gives nothing."""
    assert given(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{}.sum()",
        "%resource.item.where(linkId = 'none').answer.value.sum()",
        "{}.avg()",
        "{}.max()",
        "{} + 1",
        "1 - {}",
    ],
)
def test_nothing_is_never_zero(text: str) -> None:
    """A sum, mean or maximum of nothing, and arithmetic with nothing, give nothing."""
    assert given(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("item.where(linkId = 'a').answer.value", [3]),
        ("%resource.item.where(linkId in ('a' | 'b')).answer.value.sum()", [Decimal("4.5")]),
        ("item.where(('a' | 'b') contains linkId).answer.value.avg()", [Decimal("2.25")]),
        ("QuestionnaireResponse.item.count()", [5]),
        ("Patient.item", []),
        ("item[1].answer.value", [Decimal("1.5")]),
        ("item[9]", []),
        ("item.first().linkId & item.last().linkId", ["aq"]),
        ("item.skip(1).take(2).linkId", ["b", "c"]),
        ("item.tail().count()", [4]),
        ("item.where(linkId = 'q').answer.value.value", [Decimal("2.5")]),
        ("item.where(linkId = 'c').answer.valueCoding.code", ["x"]),
        ("item.answer.value.ofType(Coding).code", ["x"]),
        ("item.answer.value.ofType(integer)", [3]),
        ("item.where(linkId = 'a').answer.value is integer", [True]),
        ("repeat(item).linkId.count()", [6]),
        ("repeat(item | answer.item).linkId.count()", [7]),
        ("descendants().where(linkId = 'a2').answer.value", [4]),
        ("item.select(linkId.length()).max()", [1]),
        ("item.where(linkId.startsWith('a') or linkId.endsWith('b')).linkId", ["a", "b"]),
        ("item.linkId.combine('a').count()", [6]),
        ("(item.linkId | 'a').count()", [5]),
        ("item.linkId.union('a' | 'z').count()", [6]),
        ("item.linkId.intersect('a' | 'z')", ["a"]),
        ("item.linkId.exclude('a' | 'b').count()", [3]),
        ("(1 | 2 | 2 | 3).count()", [3]),
        ("(1 | 1.0).count()", [1]),
        ("1.combine(1).isDistinct()", [False]),
        ("(1 | 2 | 3).aggregate($this + $total, 0)", [6]),
        ("(1 | 2 | 3).aggregate(iif($total.empty(), $this, $total + $this))", [6]),
        ("(3 | 5).select($index + $this)", [3, 6]),
        ("item.take(2).where(answer.where(value > 2).exists() and $this.linkId = 'a').count()", [1]),
        ("item.answer.value.weight()", [7]),
        ("item.answer.value.ordinal().sum()", [7]),
        ("iif(item.count() > 4, 'many', 'few')", ["many"]),
        ("iif({}, 1)", []),
        ("%x + %y", [5]),
    ],
)
def test_the_language_is_read(text: str, expected: list[Any]) -> None:
    """Paths, filters, functions, variables and precedence give what the specification says."""
    assert given(text, x=[2], y=(parse("%x + 1"), [])) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true and {}", []),
        ("false and {}", [False]),
        ("true or {}", [True]),
        ("false or {}", []),
        ("{} implies true", [True]),
        ("false implies {}", [True]),
        ("true xor {}", []),
        ("iif(0, 'one thing', 'nothing')", ["one thing"]),
        ("{} = 1", []),
        ("{} ~ {}", [True]),
        ("1 = true", [False]),
        ("'A b' ~ 'a  B'", [True]),
        ("1 in {}", [False]),
        ("{} in (1 | 2)", []),
        ("{}.not()", []),
        ("item.exists(linkId = 'a')", [True]),
        ("item.all(linkId.exists())", [True]),
        ("{}.empty() and {}.exists().not()", [True]),
    ],
)
def test_truth_has_three_values(text: str, expected: list[Any]) -> None:
    """What is not known stays unknown, and a truth is never a number."""
    assert given(text) == expected


AS_THE_REFERENCE = [
    "%resource.item.where(linkId = 'a').answer.value + 1",
    "%resource.item.where(linkId in ('a' | 'q' | 'b')).linkId",
    "%resource.item.answer.value.ofType(Coding).code",
    "%resource.repeat(item).linkId",
    "%resource.item.where(linkId = 'a').answer.value * 2 - 4 / 2",
    "(1 | 2 | 3).where($this > 1).count() = 2 and true",
    "%resource.item.where(linkId = 'g').item.where(linkId = 'a2').answer.value >= 4",
    "iif(%resource.item.exists(), 'yes', 'no') & '!'",
    "'hello'.substring(1, 3).upper()",
    "(5).combine(5).aggregate($this + $total, 0)",
]


@pytest.mark.parametrize("text", AS_THE_REFERENCE)
def test_another_engine_says_the_same(text: str) -> None:
    """Where fhirpathpy evaluates an expression, it gives the same."""
    assert given(text) == reference(FORM, text, {"resource": FORM}, models["r4"])


@pytest.mark.parametrize(
    "text",
    [
        "1 +",
        "3 garbage",
        "item.where(linkId = 'a'",
        "a..b",
        "'open",
        "%",
        "item[0",
        "f(1,)",
        "",
        "1 2",
        ")",
        "$that",
        "a ; b",
    ],
)
def test_half_an_expression_is_none(text: str) -> None:
    """What is not read to its end is refused: no engine may guess what was meant."""
    with pytest.raises(StopRun, match="FA107"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "now()", "today()", "resolve()", "memberOf('x')", "trace('x')", "'a'.matches('(a+)+$')",
        "'a'.replaceMatches('a', 'b')", "defineVariable('x')", "@2020-01-01", "@T10:00", "4 'mg'", "eval('1')",
        "sum(1)", "where()", "iif(true)", "__class__()",
    ],
)  # fmt: skip
def test_only_what_is_allowed_runs(text: str) -> None:
    """No clock, network, output, regular expression or unknown function is ever called."""
    with pytest.raises(StopRun, match="FA107"):
        parse(text)


def test_the_list_of_functions_is_the_list_that_exists() -> None:
    """What is allowed can be evaluated, and nothing else can."""
    from fhir_alliance.fhir.fhirpath_functions import TABLE

    assert set(TABLE) == set(FUNCTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "%nobody", "item.answer.value + 1", "item.single()", "'a' + 'b'", "1 + 'b'", "item.sum()", "item[1.5]",
        "'a'.power(2)", "2.power(99)", "1.power(1000000000)", "2.round(99)", "10.power(20)",
        "1.startsWith('a')", "1 as Element",
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_an_error(text: str) -> None:
    """Several values where one is asked for, other types, unknown names and runaway numbers are errors, not zeros."""
    assert fault(text).code == "FA221"


@pytest.mark.parametrize(
    "text",
    ["%n.round(12)", "%n.toString()", "%n.abs()", "%n + 1", "item.take(%n)", "item[%n]", "%n.sqrt()", "%n.ceiling()"],
)
def test_numbers_without_end_are_errors(text: str) -> None:
    """A number with a billion digits, as an answer may state it, is never written out or reckoned with."""
    assert fault(text, n=[Decimal("1E+999999999")]).code == "FA221"


def test_errors_quote_no_answer() -> None:
    """A message says what was wrong, and nothing of what the form holds."""
    assert not {"3", "1.5", "urn:s"} & set(str(fault("item.answer.value + 1")).split())


def test_a_variable_that_rests_on_itself_is_an_error() -> None:
    """Variables in a circle are refused by name."""
    assert "%a" in fault("%a", a=(parse("%b + 1"), []), b=(parse("%a"), [])).message


@pytest.mark.parametrize(
    "text",
    [
        "1" + " + 1" * (MAX_TEXT // 4),
        "'" + "a" * 100_000 + "'",
        "(" * 200 + "1" + ")" * 200,
        "item" + ".item" * 200,
        " - ".join("1" * 300),
        " + ".join(["1"] * 4_096),
    ],
    ids=["long", "100 kB", "deep", "a long path", "a long chain", "wide"],
)
def test_a_huge_expression_is_not_even_read(text: str) -> None:
    """Length, depth and size are limited before anything runs."""
    with pytest.raises(StopRun, match="FA107"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "%many.select(%many.select(%many.select($this)))",
        "%many.where(%many.where(%many.where($this = $this).exists()).exists()).count()",
        "%many.repeat($this + 1)",
        "'a'" + ".select($this & $this)" * 40,
        "1" + ".select($this | ($this + 1)).combine(1)" * 40 + ".count()",
        "%many.aggregate($total & 'aaaaaaaaaaaaaaaa', '')",
    ],
)
def test_work_without_end_is_cut_off(text: str) -> None:
    """Work is counted: nested loops, growing texts and growing collections end with an error, soon."""
    assert fault(text, many=[{"n": number} for number in range(5_000)]).code == "FA221"


def test_deep_variables_are_an_error() -> None:
    """Variables that rest on one another without end do not break the interpreter."""
    names = {f"v{n}": (parse(f"({'(' * 20}%v{n + 1}{')' * 20})"), []) for n in range(2_000)}
    assert fault("%v0", **names).code == "FA221"
