"""`python -m fhir_alliance`."""

from fhir_alliance.cli import main

main()
