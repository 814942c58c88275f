"""Measures: one calendar, one person's frozen facts, and who belongs to which population for which reason."""
