"""Safety: who a clinician should look at, found apart from scoring, and never graded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import Critical, Item, Missing
from fhir_alliance.core.safety import Concern, ConcernKind, concern_kind
from fhir_alliance.testing import make_instrument

ANSWERED, UNANSWERED, UNREADABLE = ConcernKind
ITEM = next(item for item in make_instrument(critical="q4").items if item.critical)
STRICT = msgspec.structs.replace(ITEM, link_id="q5", critical=Critical(2, "test"))
THREE = (ITEM, STRICT, msgspec.structs.replace(ITEM, link_id="q6"))

ANSWERS = st.sampled_from([0, 1, 2, 3, Decimal("0.5"), *Missing, None])
FORMS = st.fixed_dictionaries({item.link_id: ANSWERS for item in THREE}).map(
    lambda answers: {link_id: answer for link_id, answer in answers.items() if answer is not None}
)
UNREADABLES = st.sets(st.sampled_from([item.link_id for item in THREE]))


@pytest.mark.parametrize(
    ("item", "answer", "kind"),
    [
        pytest.param(ITEM, 0, None, id="below the threshold"),
        pytest.param(ITEM, 1, ANSWERED, id="at the threshold"),
        pytest.param(ITEM, 3, ANSWERED, id="above the threshold"),
        pytest.param(ITEM, Decimal("0.99"), None, id="just below the threshold"),
        pytest.param(ITEM, Decimal("1.0"), ANSWERED, id="at the threshold, as a decimal"),
        pytest.param(STRICT, 1, None, id="below a threshold of two"),
        pytest.param(STRICT, 2, ANSWERED, id="at a threshold of two"),
    ],
)
def test_both_sides_of_the_threshold(item: Item, answer: Any, kind: ConcernKind | None) -> None:
    """An answer at the instrument's own threshold or above asks for a look; one below it does not."""
    assert concern_kind([item], {item.link_id: answer}) is kind


@pytest.mark.parametrize(
    "answers",
    [{}, {"q1": 3}, *({"q4": missing} for missing in Missing)],
    ids=["empty form", "only other items", *(missing.value for missing in Missing)],
)
def test_no_answer_is_a_concern_of_its_own(answers: dict[str, Any]) -> None:
    """A finished form without an answer to its safety item asks for a look: a gap is not a zero."""
    assert concern_kind([ITEM], answers) is UNANSWERED


def test_an_unfinished_form_is_not_asked_for_what_is_still_to_come() -> None:
    """While a form is being filled in, an answer counts at once, and a gap does not count yet."""
    assert concern_kind([ITEM], {}, finished=False) is None
    assert concern_kind([ITEM], {"q4": 0}, finished=False) is None
    assert concern_kind([ITEM], {"q4": 1}, finished=False) is ANSWERED


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("answers", [{}, {"q4": 0}], ids=["nothing else", "a zero beside it"])
def test_an_answer_that_cannot_be_read_is_a_concern(answers: dict[str, Any], finished: bool) -> None:
    """An answer that was given and could not be understood is never taken for none, nor for a harmless one."""
    assert concern_kind([ITEM], answers, ["q4"], finished=finished) is UNREADABLE


def test_what_is_no_safety_item_is_no_concern() -> None:
    """High, missing or unreadable answers to other items ask for nothing here."""
    assert concern_kind([ITEM], {"q1": 3, "q4": 0}, ["q2"]) is None
    assert concern_kind([], {"q4": 3}, ["q4"]) is None


@pytest.mark.parametrize(
    ("answers", "unreadable", "kind"),
    [
        ({"q4": 0, "q5": 2}, (), ANSWERED),
        ({"q4": 0, "q5": 1}, (), None),
        ({"q5": 2}, (), ANSWERED),
        ({"q4": 1}, ("q5",), ANSWERED),
        ({"q4": 0}, ("q5",), UNREADABLE),
        ({}, ("q5",), UNANSWERED),
        ({"q4": 0}, (), UNANSWERED),
    ],
    ids=[
        "one of two is high",
        "neither is high",
        "high and missing",
        "high and unreadable",
        "zero and unreadable",
        "missing and unreadable",
        "zero and missing",
    ],
)
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "backwards"])
def test_of_several_items_the_gravest_reason_is_told(
    answers: dict[str, Any], unreadable: tuple[str, ...], kind: ConcernKind | None, order: int
) -> None:
    """What was answered outweighs what is missing, and that what is unreadable, whichever item comes first."""
    assert concern_kind([ITEM, STRICT][::order], answers, unreadable) is kind


@given(FORMS, UNREADABLES, st.booleans(), st.permutations(THREE))
def test_the_order_of_items_is_irrelevant(
    answers: dict[str, Any], unreadable: set[str], finished: bool, items: list[Item]
) -> None:
    """The same form gives the same reason, in whatever order an instrument lists its safety items."""
    told = concern_kind(items, answers, unreadable, finished=finished)
    assert told is concern_kind(THREE, answers, unreadable, finished=finished)


@given(FORMS, UNREADABLES, st.booleans(), st.sampled_from(THREE))
def test_a_higher_answer_never_calms(answers: dict[str, Any], unreadable: set[str], finished: bool, item: Item) -> None:
    """A form that asks for a look still does when an answer on it is higher, and the highest answer always does."""
    higher = answers | {item.link_id: item.high}
    assert concern_kind(THREE, higher, unreadable - {item.link_id}, finished=finished) is ANSWERED
    if concern_kind(THREE, answers, unreadable, finished=finished) is not None:
        assert concern_kind(THREE, higher, unreadable, finished=finished) is not None


@given(FORMS, UNREADABLES)
def test_a_finished_form_is_at_rest_only_where_all_was_said(answers: dict[str, Any], unreadable: set[str]) -> None:
    """No concern means that every safety item has a readable answer below its threshold."""
    silent = concern_kind(THREE, answers, unreadable) is None
    calm = [
        isinstance(answer := answers.get(item.link_id), (int, Decimal))
        and item.critical is not None
        and answer < item.critical.at_least
        for item in THREE
    ]
    assert silent == (all(calm) and not unreadable)


@given(FORMS, UNREADABLES)
def test_a_form_that_is_finished_asks_no_less(answers: dict[str, Any], unreadable: set[str]) -> None:
    """What was a concern while the form was being filled in is one when it is finished."""
    before = concern_kind(THREE, answers, unreadable, finished=False)
    assert before is None or concern_kind(THREE, answers, unreadable) is not None


def test_the_words_for_reasons_are_fixed() -> None:
    """The identifier of a safety review holds its reason as a word: another word would ask for every look again."""
    assert [kind.value for kind in ConcernKind] == ["answered", "unanswered", "unreadable"]


def test_a_concern_holds_no_answer() -> None:
    """What is handed on names the form, the client and the kind of reason, and has no place for an answer."""
    assert not {"answer", "answers", "points", "value"} & set(Concern.__struct_fields__)


def test_an_item_that_the_form_skips_is_not_missed() -> None:
    """Where an item is asked only after a yes, its absence after a no is no concern; after a yes, or nothing, it is."""
    critical = Critical(1, "test", asked_if="q2")
    items = [Item("q3", low=0, high=1, critical=critical)]
    assert concern_kind(items, {"q2": 0}) is None
    assert concern_kind(items, {"q2": 1}) is ConcernKind.UNANSWERED
    assert concern_kind(items, {}) is ConcernKind.UNANSWERED
    assert concern_kind(items, {"q2": 0, "q3": 1}) is ConcernKind.ANSWERED
    assert concern_kind(items, {"q2": 0}, {"q3"}) is ConcernKind.UNREADABLE
