"""Fill the tables of README and docs from what the commands wrote: `python scripts/results.py [--check]`.

Each table stands between `<!-- results:NAME -->` and `<!-- end -->`; nothing in it is typed by hand."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamduck.common.storage import read_json

ROOT = Path(__file__).resolve().parent.parent
CARDS = ROOT / "dreamduck" / "pretrained"
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
AGENTS = ROOT / "dreamduck" / "pretrained" / "agents"
PAGES = (ROOT / "README.md", DOCS / "baselines.md")
MARK = re.compile(r"(<!-- results:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def model() -> str:
    """What the shipped world model reaches on held-out episodes, and what made it."""
    vae, rnn = read_json(CARDS / "vae.json"), read_json(CARDS / "rnn.json")
    vae, rnn = vae["metrics"]["held_out"], rnn["metrics"]["held_out"]

    def made(card: dict[str, Any]) -> str:
        return f"{card['seconds'] / 60:.0f} min"

    rows = [
        ["VAE", "PSNR of a decoded frame", f"{vae['psnr']:.1f} dB", f"`{vae['command']}`", made(vae)],
        ["", "structural similarity", f"{vae['ssim']:.2f}", "", ""],
        [
            "MDN-RNN",
            "log-likelihood loss of a latent",
            f"{rnn['nll']:.3f} nats",
            f"`{rnn['command']}`",
            made(rnn),
        ],
        ["", "correlation of predicted and true reward", f"{rnn['reward_correlation']:.2f}", "", ""],
        ["", "ROC AUC of the end", f"{rnn['end_auc']:.3f}", "", ""],
        [
            "",
            "ends a step, expected and true",
            f"{rnn['end_expected']:.4f}, {rnn['end_rate']:.4f}",
            "",
            "",
        ],
    ]
    if "unseen" in vae["metrics"]:
        other = vae["metrics"]["unseen"]
        rows.insert(
            2, ["", "both on a map never seen", f"{other['psnr']:.1f} dB, {other['ssim']:.2f}", "", ""]
        )
    return table(["", "on held-out episodes", "", "made by", "took"], rows)


def scores() -> str:
    """The scoreboard's own tables, without their heading."""
    return _report("scores", "scores.md").replace("\n## ", "\n#### ")


def gap() -> str:
    """The dream-gap report's table."""
    return _report("gap", "gap.md")


def ablations() -> str:
    """Controllers without a memory, with an untrained and a trained one; on the road, in the dream."""
    return "\n".join(_report("ablations", f"{where}.md") for where in ("road", "dream"))


def _report(folder: str, name: str) -> str:
    """A report without its heading."""
    return (DOCS / folder / name).read_text(encoding="utf-8").split("\n", 2)[2].strip() + "\n"


def openloop() -> str:
    """Dreams against what really happened, on held-out episodes and on a map never seen."""
    rows = []
    for folder, where in (("held-out", "held-out episodes"), ("unseen", "a map never seen")):
        found = read_json(DOCS / "openloop" / f"{folder}.json")
        for steps, part in found["horizons"].items():
            psnr, z, gain, end = (part[name] for name in ("psnr", "z_error", "return", "end"))
            rows.append(
                [
                    where,
                    steps,
                    *(f"{psnr[name]:.1f}" for name in ("dream", "last_frame", "mean_frame")),
                    f"{z['dream']:.2f}, {z['last_frame']:.2f}, {z['mean_frame']:.2f}",
                    f"{gain['correlation']:.2f}",
                    f"{gain['error']:.2f} of {gain['spread']:.2f}",
                    "" if end["auc"] is None else f"{end['auc']:.2f}",
                ]
            )
    head = ["on", "steps", "PSNR [dB]", "last frame", "mean frame", "error in z (dream, last, mean)"]
    return table([*head, "return: correlation", "error, of spread", "AUC of ending"], rows)


def feedback() -> str:
    """What learning longer, and on its own dreams, does for the memory."""
    rows = []
    for file, how in (
        ("teacher-forced", "4,000 steps, on real frames alone"),
        ("short", "4,000 steps, on its own dreams too"),
        ("held-out", "20,000 steps, on its own dreams too"),
    ):
        for steps, part in read_json(DOCS / "openloop" / f"{file}.json")["horizons"].items():
            gain, end = part["return"], part["end"]
            if end["auc"] is not None:
                rows.append(
                    [
                        how,
                        steps,
                        f"{part['z_error']['dream']:.2f}",
                        f"{part['psnr']['dream']:.1f}",
                        f"{100 * end['expected']:.0f}%, {100 * end['ended']:.0f}%",
                        f"{end['auc']:.2f}",
                        f"{gain['bias']:+.2f} of {gain['spread']:.2f}",
                        f"{gain['correlation']:.2f}",
                    ]
                )
    head = ["learned", "steps dreamt", "error in z", "PSNR [dB]", "ends, expected and true"]
    return table([*head, "AUC of ending", "return: bias, of spread", "correlation"], rows)


def reproduce() -> str:
    """What `make reproduce` gave, and how long each stage took."""
    found = read_json(DOCS / "reproduce.json")
    rows = [
        [
            row["map"],
            row["simulator"],
            f"{100 * row['of_pursuit']:.0f}%",
            f"{100 * row['alive']:.0f}%",
            "at least {:.0%} and {:.0%}".format(*row["target"]),
        ]
        for row in found["rows"]
    ]
    lines = table(["map", "simulator", "of pure pursuit's distance", "alive after 60 s", "target"], rows)
    minutes = {name: seconds / 60 for name, seconds in found["seconds"].items()}
    spent = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items())
    return f"{lines}\nMinutes: {spent}; together {sum(minutes.values()):.0f}.\n"


def speed() -> str:
    """What the dream and the trainings take, as ratios to peers in the same run."""
    dream, memory, vae = (
        read_json(RESULTS / f"{name}.json")["results"] for name in ("dream", "memory", "vae")
    )
    rows = []
    for batch, row in dream["batches"].items():
        rates = row["steps_per_second"]
        name = "stepper" if batch == "1" else "rollout"
        rows.append(
            [
                f"dream, {batch} at a time [steps/s]",
                f"{rates[name]:,.0f}",
                f"2019's loop {rates['session']:,.0f} ({row[f'{name}_over_session']:.0f} times), PyTorch "
                f"{rates['pytorch']:,.0f}, the matrix products alone {rates['matmul']:,.0f} "
                f"({100 * rates[name] / rates['matmul']:.0f}%)",
            ]
        )
    for what, name in (
        ("train", "VAE, a step of 100 frames [ms]"),
        ("encode", "frame to z [ms]"),
        ("decode", "z to frame [ms]"),
    ):
        found = vae[what]["milliseconds"]
        others = ", ".join(
            f"{peer} {found[peer]:.1f}" for peer in found if "/" not in peer and peer != "ours"
        )
        rows.append([name, f"{found['ours']:.1f}", others])
    seconds = memory["seconds_per_step"]
    ours, torch = 1000 * seconds["dreamduck"], 1000 * seconds["pytorch"]
    rows.append(["MDN-RNN, a step of 100 x 50 [ms]", f"{ours:.0f}", f"PyTorch {torch:.0f}"])
    if dreaming := seconds.get("dreamduck, dreaming"):
        rows.append(["the same while it dreams [ms]", f"{1000 * dreaming:.0f}", ""])
    return table(["what", "here", "peers in the same run"], rows)


def agents() -> str:
    """The agents that ship: what they took, and how they drive."""
    rows = []
    for path in sorted(AGENTS.glob("*.ppo2.card.json")):
        card = read_json(path)
        for at, score in enumerate(card["scores"]):
            first = [
                f"`log/{path.name.removesuffix('.card.json')}.zip`",
                card["env"],
                f"{card['steps'] / 1e6:.1f} million",
                f"{card['seconds'] / 60:.0f}",
            ]
            rows.append(
                [
                    *(first if at == 0 else [""] * len(first)),
                    score["map"],
                    f"{100 * score['alive'][0]:.0f}%",
                    f"{score['distance'][0]:.1f}",
                    f"{score['out_of_lane_time'][0]:.1f}",
                ]
            )
    head = ["agent", "learned in", "steps there", "minutes", "drives on", "alive after 60 s"]
    return table([*head, "metres along the lane", "out of lane [s]"], rows)


def ppo() -> str:
    """Steps a second of PPO's training, where its steps come from."""
    found = read_json(RESULTS / "ppo.json")["results"]
    names = {
        "native": "DreamDuck-v0, one batch",
        "mended": 'DreamDuck-v0 on `simulator="gym-duckietown"`, a process each',
        "stock": "gym-duckietown as it is installed, a process each",
        "dream": "DreamDuck-v2, one batch",
    }
    rates, times = found["steps_per_second"], found["times_stock"]
    rows = [[names[key], f"{rates[key]:,.0f}", f"{times[key]:.1f}"] for key in names if key in rates]
    return table([f"{found['cars']} environments", "steps of training a second", "times stock"], rows)


def simulator() -> str:
    """Frames a second of the native simulator, as ratios to gym-duckietown."""
    found = read_json(RESULTS / "simulator.json")["results"]["frames a second, one core"]
    rows = []
    for name, rates in found.items():
        stock, _, native, batch = rates.values()
        rows.append([name, f"{stock:.0f}", f"{native:.0f}", f"{native / stock:.0f}", f"{batch:.0f}"])
    return table(["map and frame", "gym-duckietown", "native", "times", "native, 64 cars a call"], rows)


MAKERS = (model, openloop, feedback, reproduce, scores, gap, ablations, simulator, speed, agents, ppo)
TABLES: dict[str, Callable[[], str]] = {maker.__name__: maker for maker in MAKERS}


def main() -> int:
    """Fill the tables, or with --check say whether they are as they should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is stale")
    check = parser.parse_args().check
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        new = MARK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], old)
        if check and new != old:
            print(f"{path.relative_to(ROOT)} is stale")
            return 1
        if not check:
            path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
