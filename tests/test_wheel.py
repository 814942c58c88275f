"""What is installed from the wheel does what the source tree does: nothing is left behind in the tree."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from fhir_alliance.fhir.identifiers import SCORE_FORM
from fhir_alliance.runs.catalog import load_catalog
from fhir_alliance.runs.measures import load_measures

ROOT = Path(__file__).parents[1]
PURELIB = Path(sysconfig.get_path("purelib"))


class Installed:
    """The wheel in a virtual environment of its own; the libraries that it needs are those of this run."""

    def __init__(self, place: Path) -> None:
        # A build in isolation would fetch its backend; where that is installed, nothing is fetched.
        alone = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
        called(sys.executable, "-m", "build", "--wheel", *alone, "--outdir", place / "dist", ROOT)
        [self.wheel] = (place / "dist").glob("*.whl")
        venv.create(place / "venv", symlinks=True)
        self._bin = place / "venv" / "bin"
        python = self._bin / "python"
        install = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", self.wheel)
        called(sys.executable, "-m", "pip", "--python", python, *install)
        # A path file is not followed further, so the source tree that is installed beside the libraries is not seen.
        site = next((place / "venv" / "lib").glob("python*/site-packages"))
        (site / "libraries.pth").write_text(f"{PURELIB}\n", encoding="utf-8")
        self.elsewhere = place / "elsewhere"
        self.elsewhere.mkdir()

    def run(self, *words: str, program: str = "fhir-alliance") -> str:
        """Return what a program of the environment prints, called from a folder that is not the source tree."""
        return called(self._bin / program, *words, folder=self.elsewhere)


def called(*words: object, folder: Path = ROOT) -> str:
    """Return the stdout of a program that has to end well; neither PYTHONPATH nor our variables reach it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FHIR_ALLIANCE_"))}
    done = subprocess.run([str(word) for word in words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The installed wheel."""
    return Installed(tmp_path_factory.mktemp("wheel"))


def test_the_source_tree_is_not_seen(installed: Installed) -> None:
    """The package that runs is the installed one, and no other can be imported."""
    told = installed.run("-c", "import sys, fhir_alliance; print(fhir_alliance.__file__, *sys.path)", program="python")
    file, *path = told.split()
    assert "site-packages" in file
    assert not Path(file).is_relative_to(ROOT)
    assert str(ROOT) not in path


def test_every_instrument_is_there(installed: Installed) -> None:
    """`instruments list` shows every instrument of the source tree, and `publish` puts each of them into a store."""
    known = load_catalog().instruments
    listed = json.loads(installed.run("instruments", "list", "--json"))["instruments"]
    assert {row["id"] for row in listed} == set(known)
    (installed.elsewhere / "store").mkdir()
    installed.run("publish", "--store", "store")
    published = (installed.elsewhere / "store" / "Questionnaire.fhir-alliance.ndjson").read_bytes().splitlines()
    urls = {json.loads(line)["url"] for line in published}
    assert urls == {instrument.url for instrument in known.values()} | {SCORE_FORM.partition("|")[0]}
    profiles = (installed.elsewhere / "store" / "StructureDefinition.fhir-alliance.ndjson").read_bytes().splitlines()
    assert len(profiles) == len([f for f in (ROOT / "profiles").glob("*.json") if is_profile(f)])


def is_profile(file: Path) -> bool:
    """Return whether a file is a profile, and no example of one."""
    return json.loads(file.read_bytes())["resourceType"] == "StructureDefinition" and ".example" not in file.name


def test_every_measure_is_there(installed: Installed) -> None:
    """`report list` shows every measure of the source tree."""
    listed = json.loads(installed.run("report", "list", "--json"))["measures"]
    assert {row["id"] for row in listed} == set(load_measures())


def test_the_demo_runs(installed: Installed) -> None:
    """The demo finds its clinic in the wheel."""
    installed.run("demo")
    assert (installed.elsewhere / "demo" / "Task.fhir-alliance.ndjson").stat().st_size > 0


def test_what_the_wheel_holds(installed: Installed) -> None:
    """The wheel holds the package with its types and licence, the licence of each instrument, and nothing else."""
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fhir_alliance"}
    assert "fhir_alliance/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for name in load_catalog().instruments:
        assert f"fhir_alliance/shipped/questionnaires/{name}/LICENCE.md" in names
    assert [name for name in names if name.endswith((".pyc", ".db", ".lock")) or "fhir-alliance.ndjson" in name] == []
