#!/usr/bin/env bash
# Builds what a machine without a network needs: all wheels, a lock with their hashes, and a bill of materials.
# Run it on a machine with a network, with the same Python and system as the target's:
#   deploy/wheelhouse.sh OUT
# and on the target:
#   python3 -m venv /opt/fhir-alliance
#   /opt/fhir-alliance/bin/pip install --no-index --find-links OUT --require-hashes -r OUT/requirements.lock
set -euo pipefail
out=${1:?name a folder for the wheels}
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check build cyclonedx-bom
"$work/venv/bin/python" -m build --quiet --wheel --outdir "$out" "$here"
"$work/venv/bin/pip" wheel --quiet --disable-pip-version-check --wheel-dir "$out" "$out"/fhir_alliance-*.whl
python3 - "$out" <<'PYTHON'
"""Writes requirements.lock: name, version and SHA-256 of every wheel in the folder."""
import hashlib
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
lines = []
for wheel in sorted(folder.glob("*.whl")):
    name, version = wheel.name.split("-")[:2]
    lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
(folder / "requirements.lock").write_text("\n".join(lines) + "\n", encoding="utf-8")
PYTHON
python3 -m venv "$work/target"
"$work/target/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$out" --require-hashes \
  -r "$out/requirements.lock"
"$work/venv/bin/cyclonedx-py" environment "$work/target/bin/python" --output-reproducible --of JSON \
  -o "$out/sbom.cdx.json"
"$work/target/bin/fhir-alliance" instruments list > /dev/null
echo "$(find "$out" -name '*.whl' | wc -l) wheels in $out, installed from there once without a network; see requirements.lock, sbom.cdx.json"
