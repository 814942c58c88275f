"""Pure mapping between the nouns and FHIR R4 JSON."""
