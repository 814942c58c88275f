"""`fhir-alliance score`."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_alliance.cli.options import engine_option, json_option


@click.command(
    epilog="\b\nExample:\n  fhir-alliance score export/ --out scores.ndjson --parked parked.ndjson\n"
    "  cat response.json | fhir-alliance score -"
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--out", "out_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Observations as NDJSON; default stdout.",
)  # fmt: skip
@click.option(
    "--parked", "parked_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Parked records with reasons, as NDJSON.",
)  # fmt: skip
@engine_option
@json_option
@click.pass_context
def score(
    ctx: click.Context, inputs: tuple[str, ...], out_file: Path | None, parked_file: Path | None, engine: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Score QuestionnaireResponses (files, folders, Bundles, or - for stdin); no store, no state.

    Questionnaires and Consents that lie in an input folder are honoured.
    """
    from datetime import UTC, datetime

    from fhir_alliance.cli.options import catalog_of, configuration, progress, report
    from fhir_alliance.errors import StopRun
    from fhir_alliance.runs.parked import write_parked
    from fhir_alliance.runs.policy import policy_of
    from fhir_alliance.runs.score import in_one_process, score_inputs
    from fhir_alliance.runs.score_spark import on_spark

    missing = [name for name in inputs if name != "-" and not Path(name).exists()]
    if missing:
        raise click.UsageError(f"There is no {missing[0]}.")
    if as_json and out_file is None:
        raise click.UsageError("--json and the Observations would both go to stdout: give --out FILE.")
    outputs = [path.resolve() for path in (out_file, parked_file) if path is not None]
    if len(set(outputs)) < len(outputs):
        raise click.UsageError("--out and --parked name the same file.")
    if any(Path(name).resolve() in outputs for name in inputs if name != "-" and Path(name).is_file()):
        raise click.UsageError("An output file is one of the inputs, which are never changed.")
    if out_file is not None and out_file.is_symlink():
        raise StopRun("FA111", f"{out_file.name} is a symbolic link.", "Remove it; nothing is written through a link.")
    config = configuration(ctx)
    with progress("Scoring") as watch:
        summary = score_inputs(
            inputs, catalog_of(config), policy_of(config), datetime.now(UTC), out_file, watch,
            on_spark(out_file) if engine == "spark" else in_one_process,
        )  # fmt: skip
    if parked_file is not None:
        write_parked(parked_file, summary.parked)
    report(ctx, summary, "Score", as_json=as_json)
