"""The package of all that is published: a plain reader of the format finds everything, and always the same bytes."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest
from click.testing import CliRunner
from fhir.resources.R4B import get_fhir_model_class

from fhir_alliance import __version__
from fhir_alliance.cli import program
from fhir_alliance.runs.catalog import Catalog, load_catalog
from fhir_alliance.runs.package import write_package
from fhir_alliance.runs.publish import artefacts

Resource: TypeAlias = dict[str, Any]
Found: TypeAlias = dict[str, Any]

VERSION = "1.2.3"
OURS = "https://fhir-alliance.org/fhir/"


class Package(NamedTuple):
    """What a reader of FHIR packages sees: the manifest, the index, and every resource by its file name."""

    manifest: Found
    index: Found
    resources: dict[str, Resource]


def read_package(data: bytes) -> Package:
    """Return a package as its format says: a gzipped tar, a folder `package`, and JSON files in it."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive.getmembers():
            assert member.isreg()
            folder, _, name = member.name.partition("/")
            assert folder == "package"
            assert name not in files
            content = archive.extractfile(member)
            assert content is not None
            files[name] = json.loads(content.read())
    return Package(files.pop("package.json"), files.pop(".index.json"), files)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped instruments."""
    return load_catalog()


@pytest.fixture(scope="module")
def written(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a package of all that ships."""
    file = tmp_path_factory.mktemp("export") / "all.tgz"
    write_package(file, catalog, VERSION)
    return file.read_bytes()


@pytest.fixture(scope="module")
def package(written: bytes) -> Package:
    """That package, read."""
    return read_package(written)


def test_the_manifest_says_what_it_is(package: Package) -> None:
    """Name, version, FHIR version and dependencies are there, as package tools demand them."""
    manifest = package.manifest
    assert re.fullmatch(r"[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)+", manifest["name"])
    assert manifest["version"] == VERSION
    assert manifest["fhirVersions"] == ["4.0.1"]
    assert manifest["dependencies"]["hl7.fhir.r4.core"] == "4.0.1"
    assert manifest["canonical"] == OURS.rstrip("/")


def test_the_index_leads_to_every_resource(package: Package) -> None:
    """Each resource is indexed once, under its file name, with what it says of itself."""
    entries = {entry["filename"]: entry for entry in package.index["files"]}
    assert package.index["index-version"] == 2
    assert len(entries) == len(package.index["files"])
    assert set(entries) == set(package.resources)
    for name, resource in package.resources.items():
        assert name == f"{resource['resourceType']}-{resource['id']}.json"
        for key in ("resourceType", "id", "url", "version", "kind", "type", "content", "derivation"):
            assert entries[name].get(key) == resource.get(key)


def test_it_holds_all_that_is_published(package: Package, catalog: Catalog) -> None:
    """The package holds each artefact that `publish` would put into a store, word for word, and nothing else."""
    held = {resource["url"]: resource for resource in package.resources.values()}
    assert held == {artefact["url"]: artefact for artefact in artefacts(catalog)}
    for kind in ("Questionnaire", "StructureDefinition", "CodeSystem", "ValueSet", "ConceptMap"):
        assert any(resource["resourceType"] == kind for resource in held.values())
    assert {i.url for i in catalog.instruments.values()} <= set(held)


def test_it_is_whole(package: Package) -> None:
    """Every artefact of ours that something in the package refers to lies in it, and so does every code of ours."""
    held = {resource["url"] for resource in package.resources.values()}
    assert {url for resource in package.resources.values() for url in referred(resource)} <= held
    assert {coding[:2] for resource in package.resources.values() for coding in coded(resource)} <= set(codes(package))


def test_a_code_is_called_the_same_everywhere(package: Package) -> None:
    """Whatever calls a code of ours by a name calls it as its code system does; a server would refuse another name."""
    called = codes(package)
    for resource in package.resources.values():
        for system, code, display in coded(resource):
            assert display in (None, called[system, code]), (resource["url"], code)


def test_resources_are_r4(package: Package) -> None:
    """An independent FHIR library reads every resource, with no element that it does not know."""
    for resource in package.resources.values():
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_the_same_bytes_each_time(written: bytes, tmp_path: Path) -> None:
    """Another run, into a file of another name, gives the same bytes; no clock and no machine shows in them."""
    other = tmp_path / "another-name.tgz"
    write_package(other, load_catalog(), VERSION)
    assert other.read_bytes() == written
    with tarfile.open(fileobj=io.BytesIO(written), mode="r:gz") as archive:
        names = [member.name for member in archive.getmembers()]
        assert names == ["package/package.json", "package/.index.json", *sorted(names[2:])]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in archive.getmembers()} == {(315532800, 0, 0, "", "")}
    assert written[3:8] == bytes(5)  # no flags, so no file name, and no time in the gzip header


def test_the_order_of_instruments_does_not_show(catalog: Catalog, written: bytes, tmp_path: Path) -> None:
    """The same instruments found in another order give the same bytes."""
    turned = Catalog(dict(reversed(catalog.instruments.items())), dict(reversed(catalog.questionnaires.items())))
    write_package(tmp_path / "turned.tgz", turned, VERSION)
    assert (tmp_path / "turned.tgz").read_bytes() == written


def test_another_catalog_is_another_package(catalog: Catalog, written: bytes, tmp_path: Path) -> None:
    """A single changed title changes the package."""
    renamed = dict(catalog.instruments)
    renamed["gad-7"] = msgspec.structs.replace(renamed["gad-7"], title="Another title")
    write_package(tmp_path / "other.tgz", Catalog(renamed, catalog.questionnaires), VERSION)
    assert (tmp_path / "other.tgz").read_bytes() != written


def test_the_command_writes_it(
    catalog: Catalog, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`instruments export --package` writes the same package, says on stderr what is in it, and nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(program, ["instruments", "export", "--package", "p.tgz"], catch_exceptions=False)
    assert done.exit_code == 0
    found = read_package((tmp_path / "p.tgz").read_bytes())
    assert found.manifest == package.manifest | {"version": __version__}
    assert (found.index, found.resources) == (package.index, package.resources)
    assert done.stdout == ""
    assert f"{len(catalog.instruments)} Questionnaire" in done.stderr


def test_lent_wording_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever exports wording that the site may only use until a day is told so, by instrument and day."""
    monkeypatch.chdir(tmp_path)
    texts = "".join(f'"wai-sr-{n}" = "Placeholder {n}"\n' for n in range(1, 13))
    head = 'instrument = "wai-sr"\nversion = "1.0.0"\nholder = "H"\npermission = "p"\nexpires = 9999-12-31\n'
    (tmp_path / "wai.toml").write_text(f"{head}[text.en]\n{texts}", encoding="utf-8")
    (tmp_path / "fhir-alliance.toml").write_text('[instruments]\noverlays = ["wai.toml"]\n', encoding="utf-8")
    done = CliRunner().invoke(program, ["instruments", "export", "--package", "p.tgz"], catch_exceptions=False)
    assert "wai-sr carries wording by permission until 9999-12-31" in done.stderr
    form = read_package((tmp_path / "p.tgz").read_bytes()).resources["Questionnaire-wai-sr.json"]
    assert (form["status"], form["item"][0]["text"]) == ("active", "Placeholder 1")


@pytest.mark.hapi
def test_a_server_takes_every_resource(start_hapi: Callable[..., Any], package: Package) -> None:
    """An empty server stores each resource of the package under its own id, and finds none of them invalid.

    Profiles are stored only: to judge an extension, the validator would fetch FHIR's own package from the internet.
    """
    hapi_server = sys.modules["hapi_server"]  # loaded by the conftest of all tests
    order = ("CodeSystem", "ValueSet", "ConceptMap", "StructureDefinition", "Measure", "Questionnaire")
    resources = sorted(package.resources.values(), key=lambda resource: order.index(resource["resourceType"]))
    with hapi_server.FhirClient(start_hapi(validate=True).base) as fhir:
        for resource in resources:
            stored = fhir.put(resource)
            assert {name: stored[name] for name in resource} == resource
        judged = [resource for resource in resources if resource["resourceType"] != "StructureDefinition"]
        assert [error for resource in judged for error in fhir.errors(resource)] == []


def referred(node: Any, key: str = "") -> Iterator[str]:
    """Yield every canonical address of ours to a profile, extension, value set or code system, without its version."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from referred(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from referred(value, key)
    elif isinstance(node, str) and key != "id":
        found = re.fullmatch(rf"({OURS}(StructureDefinition|ValueSet|CodeSystem)/[^|#]+)(\|.*)?", node)
        if found:
            yield found[1]


def codes(package: Package) -> dict[tuple[str, str], str]:
    """Return what each code of ours is called, by system and code."""
    return {
        (resource["url"], concept["code"]): concept["display"]
        for resource in package.resources.values()
        if resource["resourceType"] == "CodeSystem"
        for concept in resource["concept"]
    }


def coded(node: Any) -> Iterator[tuple[str, str, str | None]]:
    """Yield every coding of ours as system, code, and display where it has one."""
    if isinstance(node, dict):
        if str(node.get("system", "")).startswith(f"{OURS}CodeSystem/") and "code" in node:
            yield node["system"], node["code"], node.get("display")
        for value in node.values():
            yield from coded(value)
    elif isinstance(node, list):
        for value in node:
            yield from coded(value)
