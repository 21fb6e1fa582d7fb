"""Fill the tables of README.md and docs/ from what commands wrote: `python scripts/results.py [--check]`.

Each table stands between `<!-- results:NAME -->` and `<!-- end -->`; nothing in it is typed by hand. The
README has one, `summary`; docs/results.md has all of the world model and of the controllers."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamduck.common.storage import read_json
from dreamduck.deployment.gauntlet import report as gauntlet_report
from dreamduck.evaluation import report
from dreamduck.evaluation.model_card import report as model_card
from dreamduck.pipeline import ablations, recipes, temperature_sweep

ROOT = Path(__file__).resolve().parent.parent
CARDS = ROOT / "dreamduck" / "pretrained"
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
AGENTS = CARDS / "agents"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
REFERENCE, TRAINING_MAP = "pure pursuit", "loop_empty"
LEFT_OUT = ("rnnenv.cma.16.2",)  # two candidates are too few to learn from
# the files of the evaluated world models, and what they are
EVALUATED = {
    "shipped": "that ships",
    "mdn-rnn": "MDN-RNN",
    "short": "MDN-RNN, 4,000 steps",
    "teacher-forced": "MDN-RNN, teacher-forced",
    "untrained": "MDN-RNN, untrained",
    "settings-2019": "MDN-RNN at 2019's temperature, 1",
}
SHOWN_RANKS = (1, 2, 8, 64, 256, 1024)
MARK = re.compile(r"(<!-- results:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def summary() -> str:
    """Of the README: survival rate and distance of each trained policy; how true the dreams are."""
    entries = [
        entry
        for entry in read_json(DOCS / "scores" / "scores.json")["entries"]
        if entry["key"]["world"]["simulator"] == "native"
    ]
    maps = list(dict.fromkeys(entry["key"]["world"]["map_name"] for entry in entries))
    found = {(entry["key"]["row"], entry["key"]["world"]["map_name"]): entry for entry in entries}
    names = list(dict.fromkeys(entry["key"]["row"] for entry in entries))
    rows = []
    for name in names:
        if name != REFERENCE and (name in LEFT_OUT or "cost" not in found[name, maps[0]]):
            continue
        cells = []
        for map_name in maps:
            entry, reference = found[name, map_name]["summary"], found[REFERENCE, map_name]["summary"]
            share = entry["distance"][0] / reference["distance"][0]
            cells.append(f"{entry['alive'][0]:.0%}, {share:.0%}")
        cost = found[name, maps[0]].get("cost")
        if cost is None:
            spent = ["", ""]
        else:
            extra = cost.get("model", {"simulator_steps": 0, "minutes": 0.0})
            steps = cost["simulator_steps"] + extra["simulator_steps"]
            spent = [f"{steps / 1e6:.1f} million", f"{cost['minutes'] + extra['minutes']:.0f}"]
        rows.append([name, *cells, *spent])
    heads = [name if name == TRAINING_MAP else f"{name} (unseen)" for name in maps]
    return table(["policy", *heads, "simulator steps", "minutes"], rows) + "\n" + truth()


def model() -> str:
    """What the shipped world model reaches on held-out episodes, and what made it."""
    vae, rnn = read_json(CARDS / "vae.json"), read_json(CARDS / "rnn.json")
    frames, latents = vae["metrics"]["held_out"], rnn["metrics"]["held_out"]

    def made(card: dict[str, Any]) -> list[str]:
        return [f"`{card['command']}`", f"{card['seconds'] / 60:.0f} min"]

    rows = [
        ["VAE", "PSNR of a reconstruction", f"{frames['psnr']:.1f} dB", *made(vae)],
        ["", "structural similarity", f"{frames['ssim']:.2f}", "", ""],
    ]
    others, forms = "both", {"psnr": "{:.1f} dB", "ssim": "{:.2f}", "detail": "{:.0%}"}
    if "detail" in frames:  # an older card has none
        rows.append(["", "detail, as a share of the camera's", f"{frames['detail']:.0%}", "", ""])
        others = "the same"
    if "unseen" in vae["metrics"]:
        other = vae["metrics"]["unseen"]
        text = ", ".join(form.format(other[name]) for name, form in forms.items() if name in other)
        rows.append(["", f"{others} on a map that was never recorded", text, "", ""])
    ends = f"{latents['end_expected']:.4f}, {latents['end_rate']:.4f}"
    rows += [
        [*_prediction(latents), *made(rnn)],
        ["", "correlation of predicted and true reward", f"{latents['reward_correlation']:.2f}", "", ""],
        ["", "ROC AUC of termination", f"{latents['end_auc']:.3f}", "", ""],
        ["", "termination rate a step, predicted and true", ends, "", ""],
    ]
    return _recorded(vae["data"]) + table(["", "on held-out episodes", "", "made by", "took"], rows)


def _recorded(data: dict[str, Any]) -> str:
    """What a model learned from, in a sentence."""
    generated = sum(name.startswith("generated:") for name in data["map_name"])
    others = f" and {generated} generated ones" if generated else ""
    return (
        f"It learned from {data['episodes']:,} episodes ({data['frames']:,} frames) on "
        f"{len(data['map_name']) - generated} maps of Duckietown{others}.\n\n"
    )


def _prediction(metrics: dict[str, float]) -> list[str]:
    """How well dynamics predict the next latent: their kind, the measure that it has, and its value."""
    if "nll" in metrics:
        return ["MDN-RNN", "negative log-likelihood of a latent", f"{metrics['nll']:.3f} nats"]
    return ["categorical dynamics", "squared error of a latent", f"{metrics['reconstruction']:.3f}"]


def scores() -> str:
    """The scoreboard's own tables, without their heading."""
    found = read_json(DOCS / "scores" / "scores.json")["entries"]
    return body(report.table(found)).replace("\n## ", "\n### ")


def gap() -> str:
    """The table of the temperature sweep."""
    return body(temperature_sweep.table(read_json(DOCS / "gap" / "gap.json")["rows"]))


def ablation() -> str:
    """Controllers on z alone, with untrained dynamics, and with trained ones."""
    rows = [row for where in ("road", "dream") for row in read_json(DOCS / "ablations" / f"{where}.json")]
    return body(ablations.table(rows))


def body(text: str) -> str:
    """A report without its heading."""
    return text.split("\n", 2)[2].strip() + "\n"


def card() -> str:
    """The evaluation cards of several world models, side by side."""
    cards = [
        (name, model_card.headlines(read_json(DOCS / "card" / f"{file}.json")))
        for file, name in EVALUATED.items()
        if (DOCS / "card" / f"{file}.json").exists()
    ]
    if not cards:
        return ""
    rows = [[figure, *(model_card.cell(found[figure]) for _, found in cards)] for figure in cards[0][1]]
    return table(["figure", *(name for name, _ in cards)], rows)


def truth() -> str:
    """In one sentence, what the card of the model that ships says of its dreams."""
    found = read_json(DOCS / "card" / "shipped.json")
    figures = model_card.headlines(found)
    ranked, turned, road = (
        model_card.cell(figures[name])
        for name in (
            "ranking: Spearman of returns",
            "Spearman of steering and turn, 1 s",
            "the same on the road, by the same probe",
        )
    )
    count = len(found["ranking"]["drivers"])
    return (
        f"Its dreams rank {count} drivers as the simulator does, Spearman {ranked}, and follow the "
        f"steering: Spearman of steering and turn after a second is {turned}; in the simulator, by the "
        f"same probe, {road}.\n"
    )


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
    lines = table(["map", "simulator", "% of pure pursuit", "survival rate, 60 s", "target"], rows)
    minutes = {name: seconds / 60 for name, seconds in found["seconds"].items()}
    spent = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items())
    return f"{lines}\nMinutes: {spent}; together {sum(minutes.values()):.0f}.\n"


def recipe(name: str) -> str:
    """What `make reproduce ENV=<name>` gave, beside the paper's figures, and how long each stage took."""
    path = DOCS / f"{name}.json"
    if not path.exists():
        return "No result yet: the recipe has not been run to its end.\n"
    found = read_json(path)
    spent = ", ".join(f"{stage} {seconds / 60:.1f}" for stage, seconds in found["seconds"].items())
    total = sum(found["seconds"].values()) / 60
    return f"{recipes.table(recipes.RECIPES[name], found)}\nMinutes: {spent}; together {total:.0f}.\n"


def doom() -> str:
    """The recipe of Doom."""
    return recipe("doom")


def carracing() -> str:
    """The recipe of CarRacing."""
    return recipe("carracing")


def recording() -> str:
    """How quickly episodes of another environment are recorded, beside a plain loop in the same run."""
    path = RESULTS / "gym_recording.json"
    if not path.exists():
        return "Not measured yet.\n"
    found = read_json(path)["results"]
    ratios = found["times the plain loop"]
    rows = [
        [name, f"{rate:.0f}", f"{ratios[name]:.2f}"] for name, rate in found["steps per second"].items()
    ]
    return table(["CarRacing-v3, random actions", "steps a second", "times the plain loop"], rows)


def speed() -> str:
    """What the dream and the trainings take, as ratios to peers in the same run."""
    dream, rnn, vae = (
        read_json(RESULTS / f"{name}.json")["results"] for name in ("dream", "mdn_rnn", "vae")
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
    seconds = rnn["seconds_per_step"]
    ours, torch = 1000 * seconds["dreamduck"], 1000 * seconds["pytorch"]
    rows.append(["MDN-RNN, a step of 100 x 50 [ms]", f"{ours:.0f}", f"PyTorch {torch:.0f}"])
    if sampled := seconds.get("dreamduck, scheduled sampling"):
        rows.append(["the same with scheduled sampling [ms]", f"{1000 * sampled:.0f}", ""])
    if (RESULTS / "categorical.json").exists():
        found = read_json(RESULTS / "categorical.json")["results"]
        ours, other = (1000 * found["seconds"][name] for name in ("categorical", "MDN-RNN"))
        gain = found["library_over_own_gradient"]
        peers = f"MDN-RNN {other:.0f}; in the sequence TensorFlow's gradient takes {gain:.2f} times as long"
        rows.append(["categorical model, a step of 128 x 50 [ms]", f"{ours:.0f}", peers])
    return table(["what", "here", "peers in the same run"], rows)


def agents() -> str:
    """The agents that ship: what they took, and how they drive."""
    rows = []
    for path in sorted(AGENTS.glob("*.ppo2.card.json")):
        card = read_json(path)
        for at, score in enumerate(card["scores"]):
            first = [
                f"`{path.name.removesuffix('.card.json')}.zip`",
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
    head = ["agent", "trained in", "steps there", "minutes", "evaluated on", "survival rate, 60 s"]
    return table([*head, "distance along the lane [m]", "out of lane [s]"], rows)


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


def frames() -> str:
    """How alike the two simulators' frames are, over ten maps."""
    found = read_json(RESULTS / "frames.json")["results"]
    groups: dict[str, list[dict[str, float]]] = {}
    for name, row in found.items():
        groups.setdefault(name.split(" ", 1)[1], []).append(row)
    rows = []
    for name, kept in groups.items():
        mean = {key: sum(row[key] for row in kept) / len(kept) for key in ("difference", "similarity")}
        rows.append(
            [
                name,
                f"{mean['difference']:.2f}",
                f"{max(row['difference_worst'] for row in kept):.2f}",
                f"{mean['similarity']:.4f}",
                f"{min(row['similarity_worst'] for row in kept):.3f}",
            ]
        )
    head = ["setting", "mean difference, of 255", "worst frame", "structural similarity", "worst frame"]
    return table(head, rows)


def passes() -> str:
    """Where a frame's time goes in the native simulator, beside what bounds it."""
    found = read_json(RESULTS / "simulator.json")["results"]["microseconds"]
    names = ("physics", "frame", "fetches", "blending", "memory")
    rows = [[name, *(f"{row[key]:.1f}" for key in names)] for name, row in found.items()]
    return table(["map", "physics, 1 step", *names[1:]], rows)


def browser() -> str:
    """The runtimes that could run the dream in a browser."""
    found = read_json(RESULTS / "browser_runtimes.json")["results"]
    quicker = found["times_quicker"]
    rows = [
        [
            name,
            f"{row['step']:.2f} ms",
            f"{row['picture']:.1f} ms",
            f"{quicker[name]['step']:g}, {quicker[name]['picture']:g}",
        ]
        for name, row in found["milliseconds"].items()
    ]
    lines = table(["runtime, backend", "MDN-RNN, one step", "decoder, one image", "times as slow"], rows)
    rates = found["frames_per_second"]
    paces = [
        [f"{pace} steps/s", f"{rates['page'][pace]:g}", f"{rates['file'][pace]:g}"]
        for pace in rates["page"]
    ]
    return f"{lines}\n{table(['pace', 'page [frames/s]', 'file [frames/s]'], paces)}"


def evolution() -> str:
    """What a search in the page of one file came to, and its frames a second."""
    path = RESULTS / "browser_evolution.json"
    if not path.exists():
        return "No result yet: `python -m benchmarks browser_evolution` writes it.\n"
    found = read_json(path)["results"]
    names = {"evolved": "evolved", "standing": "standing still", "straight": "straight on at half throttle"}
    rows = [
        [name, f"{100 * (1 - found[key]['ended']):.0f}%", f"{found[key]['progress']:.1f}"]
        for key, name in names.items()
    ]
    head = ["controller", "dreams that keep the road", "along the lane, less costs [m]"]
    told = (
        f"{found['generations']} generations in {found['seconds']} s; at 60 steps/s the file paints "
        f"{found['frames_per_second']:.0f} frames/s, {found['megabytes']} MB."
    )
    return f"{table(head, rows)}\n{told}\n"


def robot() -> str:
    """Deployed policies: size, time, memory, and how far they are from the library's numbers."""
    rows = []
    for name, found in read_json(RESULTS / "deployment.json")["results"]["policies"].items():
        took, apart = found["milliseconds"], found["differences"]
        rows.append(
            [
                name,
                f"{found['file_megabytes']:.1f}",
                f"{took['file_640x480']:.1f}, {took['file_64x64']:.1f}",
                f"{took['library_64x64']:.1f}",
                f"{found['memory_megabytes']['both']:.0f}",
                ", ".join(f"{apart[f'opset_{opset}']['greatest']:.1e}" for opset in (13, 18)),
            ]
        )
    step = "a step at 640x480, at 64x64 [ms]"
    last = "greatest difference of an action, opset 13, 18"
    head = ["policy", "file [MB]", step, "the library's, 64x64 [ms]", "memory [MB]", last]
    return table(head, rows)


def cropping() -> str:
    """How near two ways from 640 x 480 to 64 x 64 come to frames that are rendered at 64 x 64."""
    found = read_json(RESULTS / "deployment.json")["results"]["camera"]
    rows = [[name, f"{row['centre']:.1f}", f"{row['squeezed']:.1f}"] for name, row in found.items()]
    return table(["lens", "centre, averaged", "whole frame, squeezed"], rows)


def distribute() -> str:
    """The VAE's training step under `tf.distribute`."""
    found = read_json(RESULTS / "distribute.json")["results"]
    rows = [
        [name, *(f"{row[key]:.0f}" for key in ("median", "least", "processors"))]
        for name, row in found.items()
    ]
    return table(["a step of 100 frames [ms]", "median", "fastest", "processor time"], rows)


def scaling() -> str:
    """Generations of a search by ranks: modelled from measured parts."""
    found = read_json(RESULTS / "scaling.json")["results"]
    ranks = [count for count in next(iter(found["model"].values())) if int(count) in SHOWN_RANKS]
    rows = []
    for population, row in found["model"].items():
        for count in ranks:
            part = row[count]
            rows.append(
                [
                    f"{int(population):,}" if count == ranks[0] else "",
                    f"{int(count):,}",
                    f"{part['seconds']:.2f}",
                    f"{part['speedup']:.1f}",
                    f"{part['speedup'] / int(count):.0%}",
                    f"{part['rank_0_alone']:.1%}",
                ]
            )
    head = ["candidates", "ranks", "s a generation", "speed-up", "efficiency", "rank 0 alone"]
    return table(head, rows)


def measured_ranks() -> str:
    """The parts of a generation with 1 and 2 ranks, as they were measured."""
    found = read_json(RESULTS / "scaling.json")["results"]
    measured, messages = found["measured"], found["messages"]
    rows = [
        [
            f"{ranks}",
            f"{measured['seconds of a generation'][ranks]:.2f}",
            *(f"{1000 * part[name]:,.1f}" for name in ("ask", "evaluate", "tell", "save")),
        ]
        for ranks, part in measured["parts"].items()
    ]
    block = found["block"]
    low, high = block["5% and 95%"]
    text = (
        f"Speed-up of 2 ranks: measured {measured['speedup of 2 ranks']:.2f}, "
        f"modelled {measured['modelled speedup of 2 ranks']:.2f}. "
        f"A block of {block['candidates']} candidates: {block['median seconds']:.3f} s on one core "
        f"(5% to 95%: {low:.3f} to {high:.3f} s). "
        f"A message with one block: {messages['bytes_out'] / 1000:.1f} kB to the rank, "
        f"{messages['bytes_back'] / 1000:.1f} kB back; rank 0 takes {1000 * messages['send']:.2f} ms "
        f"to send and {1000 * messages['receive']:.2f} ms to receive it.\n"
    )
    heads = ["ranks", "s a generation", "ask [ms]", "evaluate [ms]", "tell [ms]", "save [ms]"]
    return f"{table(heads, rows)}\n{text}"


def episodes() -> str:
    """What one episode takes, measured, and a million, computed from it."""
    found = read_json(RESULTS / "episodes.json")["results"]
    parts = []
    for name, heading in (("measured", "measured"), ("computed for a million episodes",) * 2):
        rows = [
            [key, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"]
            for key, value in found[name].items()
        ]
        parts.append(table([heading, ""], rows))
    return "\n".join(parts)


def generated_maps() -> str:
    """How varied the generated maps are."""
    found = read_json(RESULTS / "generated_maps.json")["results"]
    names = {"road_tiles": "road tiles: least, median, most", "left_turns": "left turns among all turns of "
             "the expert's way: a tenth, half and nine tenths of the maps have less"}  # fmt: skip
    rows = [["different roads", f"{found['layouts']} of {found['maps']}"]]
    rows += [[text, ", ".join(map(str, found[name]))] for name, text in names.items()]
    rows += [[f"maps with {name}", f"{value:.0%}"] for name, value in found["shares"].items()]
    return table([f"the first {found['maps']}", ""], rows)


def gauntlet() -> str:
    """How well the agent that ships drives under each perturbation, on all maps together."""
    found = read_json(DOCS / "gauntlet" / "gauntlet.json")["summary"]
    rows = [entry for entry in found if entry["map"] == gauntlet_report.ALL_MAPS]
    return gauntlet_report.rows(rows) + "\n"


MAKERS = (
    *(summary, model, card, gauntlet, reproduce, scores, gap, ablation, simulator, speed, agents, ppo),
    *(frames, passes, browser, evolution, distribute, scaling, measured_ranks, episodes),
    *(generated_maps, robot, cropping, doom, carracing, recording),
)
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
