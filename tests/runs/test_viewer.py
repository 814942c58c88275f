"""What a viewer may see is what the consent gate would clear."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.consent import ConsentPolicy, ConsentRecord, Datum, Provision, gate
from fhir_alliance.core.model import Cleared, Code, Withheld
from fhir_alliance.runs.viewer import Viewer
from fhir_alliance.testing import START, make_form

FORM = make_form({"q1": 1})
PHQ, GAD = ("http://loinc.org", "44249-1"), ("http://loinc.org", "69737-5")
MOMENTS = (None, START - timedelta(days=1), START + timedelta(days=1))
PURPOSES = (frozenset[str](), frozenset({"TREAT"}), frozenset({"HPAYMT"}), frozenset({"PurposeOfUse"}))
CLASSES = (frozenset[str](), frozenset({"Observation"}), frozenset({"Goal"}))
CODES = (frozenset[tuple[str, str]](), frozenset({PHQ}), frozenset({GAD}))
# Made once and picked from: to build each anew costs more than to judge it.
RULES = [
    Provision(type=kind, starts=starts, purposes=purposes, classes=classes, codes=codes, unevaluated=unread)
    for kind, starts, purposes, classes, codes, unread in product(
        ("permit", "deny", "", "odd"), MOMENTS, PURPOSES, CLASSES, CODES, ((), ("actor",))
    )
]
ROOTS = st.tuples(st.sampled_from(["permit", "deny", ""]), st.lists(st.sampled_from(RULES), max_size=2)).map(
    lambda made: Provision(type=made[0], provisions=tuple(made[1]))
)
CONSENTS = st.tuples(
    st.sampled_from(["Consent/1", "Consent/2"]), st.sampled_from([FORM.subject, "Patient/other"]),
    st.sampled_from(["active", "inactive", "bad"]), st.sampled_from(["patient-privacy", "research", ""]),
    st.sampled_from(MOMENTS), st.sampled_from(["permit", "deny", ""]), ROOTS, st.sampled_from(["", "cannot be read"]),
).map(lambda made: ConsentRecord(*made))  # fmt: skip


@given(st.lists(CONSENTS, max_size=3), st.booleans())
def test_a_viewer_sees_what_the_gate_clears(consents: list[ConsentRecord], default_permit: bool) -> None:
    """For every set of Consents a form's scores may be seen exactly where the gate clears the form, else as it says."""
    policy, datum = ConsentPolicy(default_permit), Datum.of([Code(*PHQ)])
    cleared = gate(FORM, consents, policy, datum, START)
    objections = Viewer(FORM.subject, consents, policy, START).objections(datum)
    if isinstance(cleared, Cleared):
        assert objections == ()
    else:
        assert isinstance(cleared, Withheld)
        assert objections
        assert objections == cleared.reasons or not consents
