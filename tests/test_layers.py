"""The one-way rule of the house, held by reading the imports of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fhir_alliance"

# layer -> what of our own it may import; the first match of a prefix counts
ALLOWED = {
    "core": ("core", "errors"),
    "fhir": ("core", "fhir", "errors"),
    "views": ("core", "views", "errors"),
    "stores": ("core.model", "fhir", "stores", "config", "errors"),
    "runs": ("core", "fhir", "views", "stores", "runs", "config", "errors"),
    "cli": ("runs", "stores", "views", "config", "errors", "cli", "__version__"),
}
IMPURE = {"requests", "sqlite3", "pathlib", "os", "random", "time", "subprocess", "socket", "click"}


def imports(source: str) -> Iterator[str]:
    """Yield every module that a source imports, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def trespasses(layer: str, source: str) -> list[str]:
    """Return the imports of ours that a module in this layer may not have."""
    own = [name.removeprefix("fhir_alliance.") for name in imports(source) if name.startswith("fhir_alliance.")]
    return [name for name in own if not any(f"{name}.".startswith(f"{ok}.") for ok in ALLOWED[layer])]


MODULES = [
    (layer, path) for path in sorted(PACKAGE.rglob("*.py")) if (layer := path.relative_to(PACKAGE).parts[0]) in ALLOWED
]


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=[f"{layer}/{path.name}" for layer, path in MODULES])
def test_layer_imports_only_what_it_may(layer: str, path: Path) -> None:
    """No module imports against the one direction: core, fhir, stores, runs, cli."""
    assert trespasses(layer, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=[f"{layer}/{path.name}" for layer, path in MODULES])
def test_pure_layers_stay_pure(layer: str, path: Path) -> None:
    """Core, fhir and views touch no file, network, clock or chance."""
    if layer in ("core", "fhir", "views"):
        found = {name.partition(".")[0] for name in imports(path.read_text(encoding="utf-8"))}
        assert not found & IMPURE


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("core", "from fhir_alliance.fhir.task import new_task"),
        ("fhir", "from fhir_alliance.stores.http import Http"),
        ("views", "import fhir_alliance.runs.sync"),
        ("stores", "from fhir_alliance.core.consent import gate"),
        ("runs", "def f():\n    from fhir_alliance.cli import main"),
    ],
)
def test_a_planted_import_is_found(layer: str, line: str) -> None:
    """The rule bites: an import against the direction is reported."""
    assert trespasses(layer, line)


def test_only_the_gate_builds_cleared() -> None:
    """`Cleared` is made in core/consent.py and nowhere else, so no code can skip the gate."""
    makers = [
        path.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Cleared"
    ]
    assert set(makers) == {"consent.py"}


def test_help_imports_nothing_heavy() -> None:
    """`fhir-alliance --help` answers without pydantic, requests, rich, fhir.resources or the engines."""
    import subprocess
    import sys

    script = (
        "import sys; from fhir_alliance.cli import program\n"
        "try: program(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pydantic', 'requests', 'rich', 'fhir', 'msgspec', 'orjson', 'jiter', 'sqlite3'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
