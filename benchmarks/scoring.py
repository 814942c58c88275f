"""Prints how fast and how lean scoring is, as ratios against baselines in the same run."""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

LINK_IDS = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
CODES = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")


def write_responses(path: Path, count: int) -> None:
    """Write `count` synthetic PHQ-9 responses of about 1.2 KB, one per line; the same ones every time."""
    chance = random.Random(9)
    with path.open("wb") as out:
        for number in range(count):
            client = f"Patient/p{number % 5000}"
            items = [
                {
                    "linkId": f"/{link}",
                    "answer": [{"valueCoding": {"system": "http://loinc.org", "code": chance.choice(CODES)}}],
                }
                for link in LINK_IDS
            ]
            form = {
                "resourceType": "QuestionnaireResponse",
                "id": f"r{number}",
                "meta": {"versionId": "1", "lastUpdated": "2026-02-02T10:00:00Z"},
                "questionnaire": "https://fhir-alliance.org/fhir/Questionnaire/phq-9|1.0.0",
                "status": "completed",
                "subject": {"reference": client},
                "encounter": {"reference": f"Encounter/e{number}"},
                "authored": f"2026-02-{number % 28 + 1:02}T10:00:00+01:00",
                "source": {"reference": client},
                "item": items,
            }
            out.write(json.dumps(form, separators=(",", ":")).encode() + b"\n")


def ours(path: Path, out: Path) -> Callable[[], object]:
    """Return the main job: all checks, panel and total in full."""
    from datetime import UTC, datetime

    from fhir_alliance.runs.catalog import load_catalog
    from fhir_alliance.runs.policy import Policy
    from fhir_alliance.runs.score import score_inputs

    now = datetime(2026, 6, 1, tzinfo=UTC)
    return lambda: score_inputs([str(path)], load_catalog(), Policy(), now, out, lambda count: None)


def plain_script(path: Path, out: Path) -> Callable[[], object]:
    """Return what most scripts do: validate with fhir.resources, add up, write one bare total."""
    from fhir.resources.R4B.observation import Observation
    from fhir.resources.R4B.questionnaireresponse import QuestionnaireResponse as Form

    read: Callable[[bytes], Any] = Form.model_validate_json  # what is there is known, not asked
    weights = {code: points for points, code in enumerate(CODES)}

    def run() -> None:
        with path.open("rb") as lines, out.open("w") as target:
            for line in lines:
                form = read(line)
                total = sum(weights[item.answer[0].valueCoding.code] for item in form.item)
                observation = Observation(
                    status="final",
                    code={"coding": [{"system": "http://loinc.org", "code": "44261-6"}]},
                    subject={"reference": form.subject.reference},
                    effectiveDateTime=form.authored,
                    valueQuantity={"value": total, "system": "http://unitsofmeasure.org", "code": "{score}"},
                )
                target.write(observation.model_dump_json() + "\n")

    return run


class Reference(msgspec.Struct, gc=False):
    reference: str | None = None


class Coding(msgspec.Struct, gc=False):
    system: str | None = None
    code: str | None = None


class Answer(msgspec.Struct, gc=False, rename="camel"):
    value_coding: Coding | None = None
    value_integer: int | None = None


class Item(msgspec.Struct, gc=False, rename="camel"):
    link_id: str
    answer: tuple[Answer, ...] = ()


class Form(msgspec.Struct, gc=False, rename="camel"):
    resource_type: str
    id: str
    status: str
    authored: str
    questionnaire: str | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    source: Reference | None = None
    item: tuple[Item, ...] = ()


def decoding(path: Path, out: Path) -> Callable[[], object]:
    """Return the least that any scorer has to do: decode the fields that it needs."""
    decode = msgspec.json.Decoder(Form).decode

    def run() -> None:
        with path.open("rb") as lines:
            for line in lines:
                decode(line)

    return run


WORKERS = {"ours": ours, "plain": plain_script, "decoding": decoding}


def work(name: str, path: Path, out: Path) -> None:
    """Run one worker and print its CPU seconds and peak memory in MiB."""
    run = WORKERS[name](path, out)
    start = time.process_time()
    run()
    spent = time.process_time() - start
    print(json.dumps({"cpu_s": spent, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def measured(name: str, path: Path, out: Path) -> dict[str, float]:
    """Return what a worker in a fresh process measured."""
    command = [sys.executable, __file__, "--worker", name, str(path), str(out)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def cost(name: str, path: Path, out: Path, count: int) -> float:
    """Return the CPU per response in microseconds."""
    return measured(name, path, out)["cpu_s"] / count * 1e6


def help_ratio() -> float:
    """Return the CPU of --help over that of an empty program."""

    def cpu(command: list[str]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    empty = min(cpu([sys.executable, "-c", "pass"]) for _ in range(5))
    return min(cpu([sys.executable, "-m", "fhir_alliance", "--help"]) for _ in range(5)) / empty


def main(quick: bool) -> None:
    """Print all ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "out.ndjson"
        few, many = folder / "QuestionnaireResponse.few.ndjson", folder / "QuestionnaireResponse.many.ndjson"
        write_responses(few, 2_000)
        write_responses(many, 100_000)
        jobs = (("ours", many, 100_000), ("decoding", many, 100_000), ("plain", few, 2_000))
        rounds = [[cost(name, path, out, count) for name, path, count in jobs] for _ in range(6)]
        own, bare, plain = (min(costs) for costs in zip(*rounds, strict=True))  # in turn: a busy machine is so to all
        print(f"per response: ours {own:.1f} us, decoding {bare:.1f} us, fhir.resources script {plain:.0f} us")
        print(f"scoring, times a fhir.resources script  {plain / own:6.1f}   (at least 30)")
        print(f"scoring, times decoding                 {own / bare:6.1f}   (at most 6)")
        if not quick:
            million = folder / "QuestionnaireResponse.million.ndjson"
            write_responses(million, 1_000_000)
            small, large = measured("ours", many, out), measured("ours", million, out)
            print(
                f"cost at 1 million, times 100 thousand   {large['cpu_s'] / small['cpu_s'] / 10:6.2f}   (at most 1.1)"
            )
            ratio = large["peak_mib"] / small["peak_mib"]
            print(f"memory at 1 million, times 100 thousand {ratio:6.2f}   (at most 1.2; {large['peak_mib']:.0f} MiB)")
    print(f"help, times an empty program            {help_ratio():6.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the million")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "IN", "OUT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(chosen.worker[0], Path(chosen.worker[1]), Path(chosen.worker[2]))
    else:
        main(chosen.quick)
