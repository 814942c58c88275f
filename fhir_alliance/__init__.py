"""Scores alliance and outcome questionnaires in a FHIR R4 record and opens the reviews that follow."""

__version__ = "0.1.0"
