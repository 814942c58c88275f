"""What a viewer may see is what the consent gate would clear."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from fhir_alliance.core.consent import ConsentPolicy, ConsentRecord, Datum, Provision, gate
from fhir_alliance.core.model import Cleared, Code, Withheld
from fhir_alliance.runs.viewer import Viewer
from fhir_alliance.testing import START, make_form

FORM = make_form({"q1": 1})
PHQ = ("http://loinc.org", "44249-1")
TYPES = st.sampled_from(["permit", "deny", "", "odd"])
PURPOSES = st.frozensets(st.sampled_from(["TREAT", "HPAYMT", "PurposeOfUse"]), max_size=2)
CLASSES = st.frozensets(st.sampled_from(["Observation", "Goal"]), max_size=1)
CODES = st.frozensets(st.sampled_from([PHQ, ("http://loinc.org", "69737-5")]), max_size=1)
MOMENTS = st.sampled_from([None, START - timedelta(days=1), START + timedelta(days=1)])
RULES = st.builds(
    Provision, TYPES, MOMENTS, MOMENTS, PURPOSES, CLASSES, CODES, st.sampled_from([(), ("actor",)]), st.just(())
)
ROOTS = st.builds(lambda root, inner: Provision(root.type, provisions=tuple(inner)), RULES, st.lists(RULES, max_size=2))
CONSENTS = st.builds(
    ConsentRecord, st.sampled_from(["Consent/1", "Consent/2"]), st.sampled_from([FORM.subject, "Patient/other"]),
    st.sampled_from(["active", "inactive", "bad"]), st.sampled_from(["patient-privacy", "research", ""]), MOMENTS,
    st.sampled_from(["permit", "deny", ""]), ROOTS, st.sampled_from(["", "cannot be read"]),
)  # fmt: skip


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
