"""No text anywhere grades a client's risk, says that there is none, or speaks of a diagnosis: every string is read."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
# What people may come to read: the program's own strings, and the data that it ships.
DATA = ("fhir_alliance", "questionnaires", "profiles", "examples/clinic")

_GRADES = {
    "en": (
        r"\b(?:no|without|little|low|lower|lowest|minimal|mild|slight|moderate|medium|intermediate|high|higher|highest|"
        r"severe|elevated|increased|acute|imminent|serious)[ -](?:suicid\w+ |self-harm )?(?:risk|danger)\b"
    ),
    "en, a scale": r"\brisk[ -](?:level|score|category|class|group|grade|stratum|tier|rating|stratification)s?\b",
    "en, a state": r"\b(?:at(?: \w+)?[ -]risk|not suicidal|is suicidal|in no danger|out of danger|client is safe)\b",
    "en, a diagnosis": r"\bdiagnos(?:is|es|ed|e|tic)\b",
    "de": (
        r"\b(?:kein\w*|ohne|gering\w*|niedrig\w*|leicht\w*|mäßig\w*|mittler\w*|mittel\w*|hoh\w*|höher\w*|erhöht\w*|"
        r"schwer\w*|akut\w*)[ -](?:suizid|selbstmord)?-?(?:risik|gefahr|gefährdung)\w*"
    ),
    "de, a scale": r"\brisiko(?:stufe|grad|gruppe|wert|klasse|einstufung|bewertung)\w*",
    "de, a state": r"\b(?:nicht (?:suizidal|gefährdet)|ungefährdet|außer gefahr)\b",
    "de, a diagnosis": r"\bdiagnos(?:e|en|tisch\w*|tiziert\w*)\b",
    "es": (
        r"\b(?:sin|ningún|bajo|poco|leve|moderado|mediano|alto|elevado|grave)s? (?:riesgo|peligro)s?\b|"
        r"\b(?:riesgo|peligro) (?:nulo|bajo|leve|moderado|medio|alto|elevado|grave|inminente)\b"
    ),
    "es, a scale": r"\b(?:nivel|grado|categoría|puntuación) de riesgo\b",
    "es, a state": r"\b(?:en riesgo|fuera de peligro|no es suicida)\b",
    "es, a diagnosis": r"\bdiagn[oó]stic\w*\b",
    "fr": (
        r"\b(?:sans|aucun|pas de|faible|léger|haut)s? (?:risque|danger)s?\b|"
        r"\b(?:risque|danger) (?:nul|faible|léger|modéré|moyen|élevé|important|grave|imminent)s?\b"
    ),
    "fr, a scale": r"\b(?:niveau|degré|catégorie|score) de risque\b",
    "fr, a state": r"\b(?:à risque|hors de danger|non suicidaire)\b",
    "fr, a diagnosis": r"\bdiagnosti(?:c|cs|que|quer|qué\w*)\b",
}
FORBIDDEN = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _GRADES.items()}

# What the program promises not to say it has to name, in docstrings that only its developers read; and FHIR has an
# element of that name. By file and words, so that each new one is looked at.
PROMISES = {
    ("fhir_alliance/core/change.py", "diagnosis"),
    ("fhir_alliance/core/rules/__init__.py", "diagnosis"),
    ("fhir_alliance/core/rules/alliance.py", "diagnosis"),
    ("fhir_alliance/stores/http.py", "diagnostics"),
    ("profiles/alliance-finding.json", "diagnosis"),
}


# Published measures count coded diagnoses, of groups; that word they may use, and no other.
_COUNTS_CODES = re.compile(r'"resourceType": *"Measure"')


def told(text: str) -> list[tuple[str, str]]:
    """Return what is forbidden in a text: which rule it breaks, and the words."""
    flat = " ".join(text.split())
    return [(name, found[0]) for name, rule in FORBIDDEN.items() for found in rule.finditer(flat)]


def strings(path: Path) -> Iterator[str]:
    """Yield every string of a file: constants and docstrings of code, values and keys of data, lines of prose."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from (
            n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        )
    elif path.suffix == ".toml":
        yield from leaves(tomllib.loads(text))
    elif path.suffix == ".json":
        yield from leaves(json.loads(text))
    elif path.suffix == ".ndjson":
        yield from (leaf for line in text.splitlines() for leaf in leaves(json.loads(line)))
    else:
        yield text


def leaves(node: Any) -> Iterator[str]:
    """Yield the strings in nested data."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from leaves(value)
    elif isinstance(node, list):
        for part in node:
            yield from leaves(part)


def found_in(path: Path) -> list[tuple[str, str]]:
    """Return what is forbidden in a file, but for what measures may say."""
    is_measure = _COUNTS_CODES.search(path.read_text(encoding="utf-8")) is not None
    found = [match for text in strings(path) for match in told(text)]
    return [(rule, words) for rule, words in found if not (is_measure and words.lower().startswith("diagnos"))]


FILES = [
    path
    for folder in DATA
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in {".py", ".toml", ".json", ".ndjson", ".md", ".html", ".css", ".txt"}
]


@pytest.mark.parametrize(
    "text",
    [
        "The client is at low risk.", "No risk was found", "high-risk client", "no suicidal risk",
        "moderate self-harm risk", "Risk level: 2", "out of danger", "not suicidal", "This diagnosis is new",
        "a diagnostic test",
        "Es besteht kein Risiko.", "ein erhöhtes Suizidrisiko", "geringe Gefahr", "Risikostufe 2", "nicht suizidal",
        "Die Diagnose lautet", "sin riesgo", "riesgo bajo", "nivel de riesgo", "fuera de peligro", "el diagnóstico",
        "aucun risque", "un risque élevé", "niveau de risque", "hors de danger", "le diagnostic",
    ],
)  # fmt: skip
def test_the_rules_bite(text: str) -> None:
    """Each kind of forbidden phrase is found, whatever its case and wherever lines break."""
    assert told(text)
    assert told(text.upper())
    assert told(text.replace(" ", "\n  "))


@pytest.mark.parametrize(
    "text",
    [
        "It says nothing about a client's risk.", "CORE-OM risk", "We would like to talk with you.",
        "Das sagt nichts darüber aus, wie es der Person geht.", "no indica nada sobre la seguridad", "plan de crise",
    ],
)  # fmt: skip
def test_the_rules_leave_plain_words_alone(text: str) -> None:
    """What neither grades nor denies is not forbidden; a word is no phrase."""
    assert told(text) == []


def test_every_promise_still_stands() -> None:
    """No exception is left over from a text that is gone."""
    said = {
        (path.relative_to(ROOT).as_posix(), words)
        for path in FILES for _, words in found_in(path)
    }  # fmt: skip
    assert said == PROMISES


def test_all_kinds_of_text_are_read() -> None:
    """The reading is not empty: code, wording in four languages, profiles and the example clinic are among it."""
    names = {path.relative_to(ROOT).as_posix() for path in FILES}
    assert {"fhir_alliance/texts/safety.toml", "fhir_alliance/core/safety_reviews.py"} <= names
    assert {"questionnaires/phq-9/questionnaire.json", "profiles/terms.json"} <= names
    assert len(names) > 250


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_text_grades_risk(path: Path) -> None:
    """No string of the file grades risk, denies it, or diagnoses, in English, German, Spanish or French."""
    name = path.relative_to(ROOT).as_posix()
    assert [(rule, words) for rule, words in found_in(path) if (name, words) not in PROMISES] == []
