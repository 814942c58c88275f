"""A second server that is not HAPI: Medplum's router in memory. Node and npm are needed for the tests only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent / "router"


def why_not() -> str:
    """Return why it cannot run here, or "" when it can."""
    return "" if shutil.which("node") and shutil.which("npm") else "Node and npm are not installed"


@contextmanager
def started(*arguments: str) -> Iterator[str]:
    """Yield the address of a running router. arguments: a file with the CapabilityStatement that it shows, if any."""
    built = HERE / "node_modules"
    built.mkdir(exist_ok=True)
    with FileLock(built / ".lock"):
        if not (built / "@medplum" / "fhir-router").is_dir():
            words = ["npm", "install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"]
            done = subprocess.run([*words, "--no-package-lock"], cwd=HERE, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-2000:]
    words = ["node", "router.mjs", *arguments]
    with subprocess.Popen(words, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as router:
        assert router.stdout
        assert router.stdin
        ready = router.stdout.readline()
        assert ready.startswith("READY "), ready
        try:
            yield ready.split()[1]
        finally:
            router.stdin.close()  # it ends with its parent, too
