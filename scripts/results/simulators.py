"""The native simulator beside gym-duckietown: speed, frames, and generated maps."""

from __future__ import annotations

from scripts.results.files import benchmark, table


def simulator() -> str:
    """Frames a second of the native simulator, as ratios to gym-duckietown."""
    found = benchmark("simulator")["frames a second, one core"]
    rows = []
    for name, rates in found.items():
        stock, _, native, batch = rates.values()
        rows.append([name, f"{stock:.0f}", f"{native:.0f}", f"{native / stock:.0f}", f"{batch:.0f}"])
    return table(["map and frame", "gym-duckietown", "native", "times", "native, 64 cars a call"], rows)


def frames() -> str:
    """How alike the two simulators' frames are, over ten maps."""
    found = benchmark("frames")
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
    found = benchmark("simulator")["microseconds"]
    names = ("physics", "frame", "fetches", "blending", "memory")
    rows = [[name, *(f"{row[key]:.1f}" for key in names)] for name, row in found.items()]
    return table(["map", "physics, 1 step", *names[1:]], rows)


def generated_maps() -> str:
    """How varied the generated maps are."""
    found = benchmark("generated_maps")
    names = {"road_tiles": "road tiles: least, median, most", "left_turns": "left turns among all turns of "
             "the expert's way: a tenth, half and nine tenths of the maps have less"}  # fmt: skip
    rows = [["different roads", f"{found['layouts']} of {found['maps']}"]]
    rows += [[text, ", ".join(map(str, found[name]))] for name, text in names.items()]
    rows += [[f"maps with {name}", f"{value:.0%}"] for name, value in found["shares"].items()]
    return table([f"the first {found['maps']}", ""], rows)


TABLES = (simulator, frames, passes, generated_maps)
