"""The last check of an export: nothing of an alliance form passes it, in whatever wrapping."""

from __future__ import annotations

import base64
import gzip
import html
import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.model import Code, Family
from fhir_alliance.errors import StopRun
from fhir_alliance.fhir.leak_scan import LeakScan
from fhir_alliance.runs.catalog import load_catalog

CATALOG = load_catalog()
SCAN = LeakScan(CATALOG.instruments.values(), CATALOG.questionnaires)
ALLIANCE = sorted(name for name, i in CATALOG.instruments.items() if i.family is Family.ALLIANCE)
OUTCOME = sorted(name for name, i in CATALOG.instruments.items() if i.family is Family.OUTCOME)
CODE = "alliance-checkin-total"


def in_base64(text: str) -> str:
    """Return a text as an attachment holds it."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("name", ALLIANCE)
def test_every_alliance_form_is_known(name: str) -> None:
    """Each alliance form is found by its id, address and title, by the code of each scale and of each answer."""
    instrument = CATALOG.instruments[name]
    scales = [f"{name}-{scale.id}" for scale in instrument.scales]
    for word in (name, instrument.url, f"{instrument.url}|{instrument.version}", instrument.title, *scales):
        assert SCAN.leaks("report", f"x;{word};7"), word
    assert all(SCAN.leaks("report", alias) for alias in instrument.aliases)
    for option in (option for item in instrument.items for option in item.options):
        assert SCAN.leaks("report", {"code": option.code.code}), option.code.code
    assert {leak.instrument for leak in SCAN.leaks("report", instrument.url)} >= {name}


def test_a_sites_own_alliance_form_is_known() -> None:
    """Published codes and titles of a site's own alliance form are found, those of its scales and items included."""
    form = CATALOG.instruments["wai-sr"]
    scale = msgspec.structs.replace(
        form.scales[0], title="Warmth of the bond", codes=(Code("http://loinc.org", "1-8"),)
    )
    item = msgspec.structs.replace(form.items[0], codes=(Code("http://loinc.org", "2-6"),))
    own = msgspec.structs.replace(
        form,
        id="own",
        panel=(Code("http://loinc.org", "3-4"),),
        scales=(scale,),
        items=(item,),
        aliases=("http://x/y",),
    )
    scan = LeakScan([own])
    for word in ("own", "Warmth of the bond", "1-8", "2-6", "3-4", "http://x/y", "Working Alliance Inventory"):
        assert scan.leaks("report", f"x,{word}"), word


@pytest.mark.parametrize("name", OUTCOME)
def test_no_outcome_form_is_taken_for_one(name: str) -> None:
    """The Questionnaire of an outcome form, all its wording and codes included, holds nothing of an alliance form."""
    assert SCAN.leaks(name, CATALOG.questionnaires[name]) == ()
    assert (
        SCAN.leaks(name, f"{CATALOG.instruments[name].title}, https://fhir-alliance.org/fhir, fhir-alliance 0.1") == ()
    )


WRAPPINGS: dict[str, Any] = {
    "a row of CSV": f"client,measure,value\n1,{CODE},4.2\n",
    "a cell in other letters": "1,ALLIANCE-Checkin-Total,4.2",
    "with underscores": "alliance_checkin_total",
    "with another hyphen": "alliance\u2010checkin\u2010total",
    "with a soft hyphen": "alli\u00adance-checkin",
    "bytes": CODE.encode(),
    "bytes with a mark": b"\xef\xbb\xbf" + json.dumps({"code": CODE}).replace("a", "\\u0061").encode(),
    "JSON": {"code": {"coding": [{"code": CODE}]}},
    "a key of JSON": {CODE: 4},
    "JSON as text, escaped": json.dumps({"code": CODE}).replace("a", "\\u0061"),
    "a line of NDJSON": '{"a": 1}\n' + json.dumps({"code": CODE}).replace("-", "\\u002d"),
    "HTML": f"<td>{html.escape('My therapist is warm towards me.')}</td>",
    "HTML in entities": "<td>" + "".join(f"&#{ord(c)};" for c in CODE) + "</td>",
    "an address, escaped": quote("https://fhir-alliance.org/fhir/Questionnaire/alliance-checkin", safe="").replace(
        "-", "%2D"
    ),
    "wording over two lines": "Ich fühle mich von meiner\n   Therapeutin oder meinem Therapeuten verstanden.",
    "an attachment": {"content": [{"attachment": {"contentType": "text/plain", "data": in_base64(CODE + " is 4.2")}}]},
    "an attachment within one": {"data": in_base64(json.dumps({"data": in_base64(f"code {CODE}")}))},
    "a picture in a page": '<img src="data:text/plain;base64,' + in_base64(f"code {CODE}") + '">',
    "the category": {"category": [{"coding": [{"code": "therapeutic-alliance"}]}]},
    "the label of item answers": {"meta": {"security": [{"code": "alliance-item"}]}},
    "a form of its own": {"resourceType": "QuestionnaireResponse", "questionnaire": "Questionnaire/SRS"},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_alliance_data_is_found_in_every_wrapping(wrapping: str) -> None:
    """A code, name or sentence of an alliance form is found in FHIR, CSV, HTML and text, escaped and encoded too."""
    assert SCAN.leaks("report", WRAPPINGS[wrapping])


@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
def test_wording_is_found_in_every_language(language: str) -> None:
    """Each sentence of our check-in is found in each of its languages."""
    for item in CATALOG.questionnaires["alliance-checkin"]["item"]:
        texts = {"en": item["text"]} | {
            e["extension"][0]["valueCode"]: e["extension"][1]["valueString"] for e in item["_text"]["extension"]
        }
        assert SCAN.leaks("report", f"She wrote: {texts[language]} And more."), texts[language]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(CODE.encode()),
        b"%PDF-1.7\n",
        b"\xff\xfeno text",
        {"data": base64.b64encode(gzip.compress(CODE.encode())).decode()},
        {"data": base64.b64encode(b"\xff\xfe\x00 something else").decode()},
    ],
    ids=["gzip", "PDF", "no text", "packed attachment", "attachment that is no text"],
)
def test_what_cannot_be_looked_into_is_no_pass(content: Any) -> None:
    """A packed file, or bytes that are no text, count as a leak: nobody can say what is in them."""
    assert SCAN.leaks("report", content)


def test_boxes_in_boxes_end() -> None:
    """An attachment in an attachment without end is not followed, and is no pass."""
    text = "nothing to be found here"
    for _ in range(12):
        text = json.dumps({"data": in_base64(text)})
    assert [leak.what for leak in SCAN.leaks("report", text)] == ["what is nested too deep to be looked at"]


def test_an_export_with_alliance_data_fails() -> None:
    """The check raises FA310, naming the parts and the form, and quoting nothing of the client."""
    SCAN.demand_none({"report.json": {"group": [{"code": {"text": "PHQ-9"}}]}, "report.csv": "phq-9-total,7\n"})
    with pytest.raises(StopRun) as told:
        SCAN.demand_none({"report.json": {"a": 1}, "report.csv": f"Anna Client,{CODE},4.2\n"})
    assert told.value.code == "FA310"
    assert "report.csv: name alliance-checkin" in told.value.message
    assert "Anna" not in str(told.value)
    assert "4.2" not in str(told.value)


@given(st.text(max_size=40), st.sampled_from(ALLIANCE), st.text(max_size=40))
def test_no_text_around_it_hides_it(before: str, name: str, after: str) -> None:
    """Whatever stands before and after it in a field of its own, the id of an alliance form is found."""
    assert SCAN.leaks("report", f"{before}\n{name}\n{after}")
    assert SCAN.leaks("report", {"a": [before, {"b": name}, after]})
