"""Policies on the robot, and the dream in a browser."""

from __future__ import annotations

from scripts.results.files import RESULTS, benchmark, table


def browser() -> str:
    """The runtimes that could run the dream in a browser."""
    found = benchmark("browser_runtimes")
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
    if not (RESULTS / "browser_evolution.json").exists():
        return "No result yet: `python -m benchmarks browser_evolution` writes it.\n"
    found = benchmark("browser_evolution")
    names = {"evolved": "evolved", "standing": "standing still", "straight": "straight on at half throttle"}
    rows = [
        [name, f"{100 * (1 - found[key]['ended']):.0f}%", f"{found[key]['progress']:z.1f}"]
        for key, name in names.items()
    ]
    head = ["controller", "dreams that keep the road", "along the lane, less costs [m]"]
    text = (
        f"{found['generations']} generations in {found['seconds']} s; at 60 steps/s the file paints "
        f"{found['frames_per_second']:.0f} frames/s, {found['megabytes']} MB."
    )
    return f"{table(head, rows)}\n{text}\n"


def robot() -> str:
    """Deployed policies: size, time, memory, and how far they are from the library's numbers."""
    rows = []
    for name, found in benchmark("deployment")["policies"].items():
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
    found = benchmark("deployment")["camera"]
    rows = [[name, f"{row['centre']:.1f}", f"{row['squeezed']:.1f}"] for name, row in found.items()]
    return table(["lens", "centre, averaged", "whole frame, squeezed"], rows)


TABLES = (browser, evolution, robot, cropping)
