"""Drive a deployed file in the simulator, under one perturbation after another, and under all at once.

Each perturbation, of camera, motors or time, has a strength. A stopped run continues where it stopped."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.errors import PolicyError
from dreamduck.common.readers import read_text
from dreamduck.common.storage import claim, write_json
from dreamduck.deployment.contract import parse
from dreamduck.deployment.folder import CONTRACT
from dreamduck.deployment.gauntlet import report
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.perturbations import Perturbation, catalogue
from dreamduck.deployment.gauntlet.results import Results
from dreamduck.deployment.gauntlet.team import Team
from dreamduck.deployment.gauntlet.worker import camera_of

log = logging.getLogger(__name__)
WRITE_EVERY = 10.0  # [s] between two writes of what is done
EPILOG = """\
examples:
  dreamduck gauntlet deployed/policy.onnx --short
  dreamduck gauntlet deployed/policy.onnx --only jpeg,latency-100 --jpeg-quality 20 --out jpeg
  dreamduck gauntlet deployed/policy.onnx --maps generated:3 --latency 200,300"""


def fill(file: Path, results: Results, rows: Sequence[Perturbation], settings: GauntletConfig) -> None:
    """Drive the rounds that are missing."""
    tasks = results.missing(rows, settings)
    if not tasks:
        return
    team = Team(str(file), settings)
    started = written = time.monotonic()
    try:
        with command_line.progress(total=len(tasks), desc="rounds") as bar:
            for task, episodes in team.run(tasks):
                results.rounds[task] = episodes
                bar.update()
                if time.monotonic() - written > WRITE_EVERY:
                    results.write()
                    written = time.monotonic()
    finally:
        team.close()
        results.write()
    log.info("%d rounds in %.0f s", len(tasks), time.monotonic() - started)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(__doc__ or "", EPILOG)
    parser.add_argument("file", metavar="FILE", help="a policy of `dreamduck deploy`: its file or folder")
    parser.add_argument("--fresh", action="store_true", help="overwrite the result of another run")
    parser.add_argument("--list", action="store_true", help="list the perturbations and their keys")
    parser.add_argument(
        "--write-contract", action="store_true", help=f"put the table into the {CONTRACT} beside the policy"
    )
    config.add_arguments(parser, GauntletConfig)
    return parser


def main(argv: Sequence[str] | None = None) -> int | None:
    """Run the gauntlet, and print the table."""
    arguments = build_parser().parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(GauntletConfig, arguments)
    rows = catalogue(settings.strengths, settings.only)
    if arguments.list:
        print("\n".join(f"{row.key:16}{row.label}" for row in rows))
        return 0
    from dreamduck.deployment.policy import DeployedPolicy

    policy = DeployedPolicy(arguments.file)  # fails now where it cannot be used
    if not settings.camera_width:
        camera = camera_of(policy.contract)
        settings = config.replace(settings, camera_width=camera.width, camera_height=camera.height)
    file, out = policy.path, Path(settings.out)
    state, outputs = out / "gauntlet.json", [out / "gauntlet.md", out / "gauntlet.png"]
    with claim("gauntlet", outputs, state, arguments.fresh):
        if arguments.fresh:
            state.unlink(missing_ok=True)
        results = Results(state, file, settings)
        fill(file, results, rows, settings)
        rows = [row for row in catalogue(settings.strengths) if _driven(results, row, settings)]
        summary = report.summarize(results, rows, settings)
        results.write(summary)
        text = report.write(
            out, summary, settings, f"`{file.name}`, fingerprint {results.key['fingerprint']}."
        )
    if arguments.write_contract:
        write_contract(file.with_name(CONTRACT), summary, settings)
    print("\n## ".join(text.split("\n## ")[:2]))  # the table of all maps
    print(f"written to {out}")
    return 0


def write_contract(path: Path, summary: Sequence[dict[str, Any]], settings: GauntletConfig) -> None:
    """Put the summary of all maps into the contract beside a policy.

    Raises:
        PolicyError: there is no contract, or it is damaged.
    """
    found = parse(read_text(path, PolicyError, "write the policy again with dreamduck deploy"), str(path))
    rows = [
        {k: v for k, v in entry.items() if k != "map"}
        for entry in summary
        if entry["map"] == report.ALL_MAPS
    ]
    tried = {
        k: v for k, v in config.to_dict(settings).items() if k not in ("only", "out", "workers", "short")
    }
    write_json(
        path, {**found, "gauntlet": {"settings": tried | {"episodes": settings.count}, "rows": rows}}
    )


def _driven(results: Results, row: Perturbation, settings: GauntletConfig) -> bool:
    """Whether a row is complete, now or from a run before."""
    return not results.missing([row], settings)
