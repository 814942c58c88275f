"""Print what a site's own Questionnaire costs to score, as ratios against the same form scored by its scoring.toml.

    python benchmarks/sdc.py

Three workers score the same answers to PHQ-9, each in a process of its own: by the shipped instrument, by a copy of
its Questionnaire under another name and with codes of its own (its formula is recognised), and by that copy with an
expression for which there is no formula (evaluated as FHIRPath, form by form).
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNT = 20_000
SITE = "https://site.example/fhir/Questionnaire/mood"
CALCULATED = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression"


def site_copy(questionnaire: dict[str, Any], expression: str) -> dict[str, Any]:
    """Return a Questionnaire as a site's own: another url, no LOINC codes on items, one calculated item."""
    copied = copy.deepcopy(questionnaire) | {"id": "mood", "url": SITE}
    items = [{k: v for k, v in item.items() if k != "code"} for item in copied["item"]]
    totals = [item for item in items if any(e["url"] == CALCULATED for e in item.get("extension", ()))]
    next(e for e in totals[0]["extension"] if e["url"] == CALCULATED)["valueExpression"]["expression"] = expression
    copied["item"] = [item for item in items if item not in totals] + totals[:1]
    return copied


def responses(questionnaire: dict[str, Any], url: str) -> list[dict[str, Any]]:
    """Return completed forms with seeded answers."""
    asked = [item for item in questionnaire["item"] if "answerOption" in item]
    offered = [[o["valueCoding"] for o in item["answerOption"]][:4] for item in asked]
    return [
        {
            "resourceType": "QuestionnaireResponse",
            "id": f"r{number}",
            "questionnaire": url,
            "status": "completed",
            "subject": {"reference": f"Patient/p{number % 500}"},
            "authored": f"2026-02-{number % 28 + 1:02}T10:00:00+01:00",
            "item": [
                {
                    "linkId": item["linkId"],
                    "answer": [{"valueCoding": {k: codings[(number + place) % 4][k] for k in ("system", "code")}}],
                }
                for place, (item, codings) in enumerate(zip(asked, offered, strict=True))
            ],
        }
        for number in range(COUNT)
    ]


def worker(name: str, folder: Path) -> Callable[[], object]:
    """Return the job: score the folder, all checks on. The shipped form has its total alone, as the copy has."""
    from datetime import UTC, datetime

    import msgspec

    from fhir_alliance.fhir.questionnaire import calculated_items
    from fhir_alliance.runs.catalog import Catalog, load_catalog
    from fhir_alliance.runs.policy import Policy
    from fhir_alliance.runs.score import score_inputs

    shipped = load_catalog()
    phq_9 = shipped.find("phq-9")
    total = msgspec.structs.replace(phq_9, scales=phq_9.scales[:1])
    catalog = Catalog({"phq-9": total}, shipped.questionnaires)
    questionnaire = dict(shipped.questionnaires["phq-9"])
    formula = next(iter(calculated_items(questionnaire).values()))
    own = {"compiled": formula, "FHIRPath": f"({formula}).power(1)"}  # for a power there is no formula
    url = SITE if name in own else phq_9.url
    if name in own:
        (folder / "Questionnaire.ndjson").write_text(json.dumps(site_copy(questionnaire, own[name])) + "\n")
    with (folder / "QuestionnaireResponse.ndjson").open("w", encoding="utf-8") as lines:
        for form in responses(questionnaire, url):
            lines.write(json.dumps(form, separators=(",", ":")) + "\n")
    now = datetime(2026, 6, 1, tzinfo=UTC)

    def run() -> None:
        summary = score_inputs([str(folder)], catalog, Policy(), now, folder / "out", lambda count: None)
        assert summary.scored == COUNT, summary.as_object()

    return run


def work(name: str) -> None:
    """Run one worker and print its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        run = worker(name, Path(folder))
        start = time.process_time()
        run()
        print(time.process_time() - start)


def measured(name: str) -> float:
    """Return the CPU seconds of a worker in a fresh process."""
    command = [sys.executable, __file__, "--worker", name]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def main() -> None:
    """Print the ratios."""
    names = ("scoring.toml", "compiled", "FHIRPath")
    rounds = [{name: measured(name) for name in names} for _ in range(5)]
    least = {name: min(one[name] for one in rounds) / COUNT * 1e6 for name in names}
    print(", ".join(f"{name} {cost:.1f} us" for name, cost in least.items()), "per response")
    print(
        f"a recognised formula, times scoring.toml   {least['compiled'] / least['scoring.toml']:6.2f}   (at most 1.2)"
    )
    print(f"FHIRPath form by form, times scoring.toml  {least['FHIRPath'] / least['scoring.toml']:6.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", metavar="NAME", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work(chosen.worker)
    else:
        main()
