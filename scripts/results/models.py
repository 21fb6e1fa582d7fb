"""The world models: what they reach, how their dreams compare with the simulator."""

from __future__ import annotations

from typing import Any

from dreamduck.common.storage import read_json
from dreamduck.evaluation.model_card import report
from dreamduck.evaluation.model_card.config import VERSION
from dreamduck.pipeline import ablations, temperature_sweep
from scripts.results.files import CARDS, DOCS, body, table

# the files of the evaluated world models, and what they are
EVALUATED = {
    "shipped": "that ships",
    "mdn-rnn": "MDN-RNN",
    "short": "MDN-RNN, 4,000 steps",
    "teacher-forced": "MDN-RNN, teacher-forced",
    "untrained": "MDN-RNN, untrained",
    "settings-2019": "MDN-RNN at 2019's temperature, 1",
}
# figures whose definition changed with version 2 of the card
REDEFINED = {
    "left against right over noise, 1 s",
    "calibration error of the end, 5 s",
    "AUC of the end, 5 s",
    "correlation of returns, 5 s",
}


def model() -> str:
    """What the shipped world model reaches on held-out episodes, and what made it."""
    vae, rnn = read_json(CARDS / "vae.json"), read_json(CARDS / "rnn.json")
    frames, latents = vae["metrics"]["held_out"], rnn["metrics"]["held_out"]

    def made(card: dict[str, Any]) -> list[str]:
        return [f"`{card['command']}`", f"{card['seconds'] / 60:.0f} min"]

    other = vae["metrics"]["unseen"]
    unseen = f"{other['psnr']:.1f} dB, {other['ssim']:.2f}, {other['detail']:.0%}"
    rows = [
        ["VAE", "PSNR of a reconstruction", f"{frames['psnr']:.1f} dB", *made(vae)],
        ["", "structural similarity", f"{frames['ssim']:.2f}", "", ""],
        ["", "detail, as a share of the camera's", f"{frames['detail']:.0%}", "", ""],
        ["", "the same on a map that was never recorded", unseen, "", ""],
        [*_prediction(latents), *made(rnn)],
        ["", "correlation of predicted and true reward", f"{latents['reward_correlation']:.2f}", "", ""],
        ["", "ROC AUC of termination", f"{latents['end_auc']:.3f}", "", ""],
    ]
    return _recorded(vae["data"], rnn["data"]["held_out_episodes"]) + table(
        ["", "on held-out episodes", "", "made by", "took"], rows
    )


def _recorded(data: dict[str, Any], held_out: int) -> str:
    """What a model learned from, in a sentence."""
    generated = sum(name.startswith("generated:") for name in data["map_name"])
    others = f" and {generated} generated ones" if generated else ""
    return (
        f"Its recordings are {data['episodes']:,} episodes ({data['frames']:,} frames) on "
        f"{len(data['map_name']) - generated} maps of Duckietown{others}; {held_out} of them were held "
        "out.\n\n"
    )


def _prediction(metrics: dict[str, float]) -> list[str]:
    """How well dynamics predict the next latent: their kind, the measure that it has, and its value."""
    if "nll" in metrics:
        return ["MDN-RNN", "negative log-likelihood of a latent", f"{metrics['nll']:.3f} nats"]
    return ["categorical dynamics", "squared error of a latent", f"{metrics['reconstruction']:.3f}"]


def card() -> str:
    """The evaluation cards of several world models, side by side."""
    cards = [(name, _headlines(file)) for file, name in EVALUATED.items()]
    rows = [[figure, *(report.cell(found.get(figure)) for _, found in cards)] for figure in cards[0][1]]
    return table(["figure", *(name for name, _ in cards)], rows)


def _headlines(file: str) -> dict[str, Any]:
    """The main figures of a card; without those that an earlier version of the card defined otherwise."""
    found = read_json(DOCS / "card" / f"{file}.json")
    older = found["made_with"]["version"] < VERSION
    return {k: v for k, v in report.headlines(found).items() if not (older and k in REDEFINED)}


def truth() -> str:
    """In one sentence, what the card of the model that ships says of its dreams."""
    found = read_json(DOCS / "card" / "shipped.json")
    figures = report.headlines(found)
    ranked, turned, road = (
        report.cell(figures[name])
        for name in (
            "ranking: Spearman of returns",
            "Spearman of steering and turn, 1 s",
            "the same on the road, by the same probe",
        )
    )
    count = len(found["ranking"]["drivers"])
    return (
        f"Its dreams rank {count} policies as the simulator does, Spearman {ranked}, and follow the "
        f"steering: Spearman of steering and turn after a second is {turned}; in the simulator, by the "
        f"same probe, {road}.\n"
    )


def gap() -> str:
    """The table of the temperature sweep."""
    return body(temperature_sweep.table(read_json(DOCS / "gap" / "gap.json")["rows"]))


def ablation() -> str:
    """Controllers on z alone, with untrained dynamics, and with trained ones."""
    rows = [row for where in ("road", "dream") for row in read_json(DOCS / "ablations" / f"{where}.json")]
    return body(ablations.table(rows))


TABLES = (model, card, gap, ablation)
