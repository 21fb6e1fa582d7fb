"""The policies: scores, costs, robustness, and what the recipes gave."""

from __future__ import annotations

from dreamduck.common.storage import read_json
from dreamduck.deployment.gauntlet import report as gauntlet_report
from dreamduck.evaluation import report
from dreamduck.pipeline import recipes
from scripts.results.files import CARDS, DOCS, body, minutes, table
from scripts.results.models import truth

REFERENCE, TRAINING_MAP = "pure pursuit", "loop_empty"
MAPS_NAMED = 5  # of a condition; of more, their number is shown
LEFT_OUT = ("rnnenv.cma.16.2",)  # two candidates are too few to learn from


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


def scores() -> str:
    """The scoreboard's own tables, without their heading."""
    found = read_json(DOCS / "scores" / "scores.json")["entries"]
    return body(report.table(found)).replace("\n## ", "\n### ")


def conditions() -> str:
    """Survival rate, and distance as a share of pure pursuit's, under several conditions."""
    found = read_json(DOCS / "scores" / "conditions.json")
    names = list(next(iter(found.values()))["rows"])
    rows = []
    for name in names:
        entries = [board["rows"][name] for board in found.values()]
        rows.append([name, *(f"{e['alive'][0]:.0%}, {e['distance_share']:.0%}" for e in entries)])
    counts = [len(board["maps"]) * board["episodes"] for board in found.values()]
    maps = [
        f"{name}: {', '.join(board['maps']) if len(board['maps']) <= MAPS_NAMED else len(board['maps'])}"
        for name, board in found.items()
    ]
    episodes = f"Episodes of 60 s: {', '.join(map(str, counts))}. Maps by condition: {'; '.join(maps)}."
    return table(["policy", *found], rows) + f"\n{episodes}\n"


def agents() -> str:
    """The agents that ship: what they took, and how they drive."""
    rows = []
    for path in sorted((CARDS / "agents").glob("*.ppo2.card.json")):
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


def gauntlet() -> str:
    """How well the agent that ships drives under each perturbation, on all maps together."""
    found = read_json(DOCS / "gauntlet" / "gauntlet.json")["summary"]
    rows = [entry for entry in found if entry["map"] == gauntlet_report.ALL_MAPS]
    return gauntlet_report.rows(rows) + "\n"


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
    return f"{lines}\n{minutes(found['seconds'])}"


def recipe(name: str) -> str:
    """What `make reproduce ENV=<name>` gave, beside the paper's figures, and how long each stage took."""
    path = DOCS / f"{name}.json"
    if not path.exists():
        return "No result yet: the recipe has not been run to its end.\n"
    found = read_json(path)
    return f"{recipes.table(recipes.RECIPES[name], found)}\n{minutes(found['seconds'])}"


def doom() -> str:
    """The recipe of Doom."""
    return recipe("doom")


def carracing() -> str:
    """The recipe of CarRacing."""
    return recipe("carracing")


TABLES = (summary, scores, conditions, agents, gauntlet, reproduce, doom, carracing)
