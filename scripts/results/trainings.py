"""The speed of dreams and trainings, on one machine and beyond."""

from __future__ import annotations

from scripts.results.files import RESULTS, benchmark, table

SHOWN_RANKS = (1, 2, 8, 64, 256, 1024)


def speed() -> str:
    """What the dream and the trainings take, as ratios to peers in the same run."""
    dream, rnn, vae = (benchmark(name) for name in ("dream", "mdn_rnn", "vae"))
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
    found = benchmark("categorical")
    ours, other = (1000 * found["seconds"][name] for name in ("categorical", "MDN-RNN"))
    gain = found["library_over_own_gradient"]
    peers = f"MDN-RNN {other:.0f}; in the sequence TensorFlow's gradient takes {gain:.2f} times as long"
    rows.append(["categorical model, a step of 128 x 50 [ms]", f"{ours:.0f}", peers])
    return table(["what", "here", "peers in the same run"], rows)


def ppo() -> str:
    """Steps a second of PPO's training, where its steps come from."""
    found = benchmark("ppo")
    names = {
        "native": "DreamDuck-v0, one batch",
        "mended": 'DreamDuck-v0 on `simulator="gym-duckietown"`, a process each',
        "stock": "gym-duckietown as it is installed, a process each",
        "dream": "DreamDuck-v2, one batch",
    }
    rates, times = found["steps_per_second"], found["times_stock"]
    rows = [[names[key], f"{rates[key]:,.0f}", f"{times[key]:.1f}"] for key in names if key in rates]
    return table([f"{found['cars']} environments", "steps of training a second", "times stock"], rows)


def distribute() -> str:
    """The VAE's training step under `tf.distribute`."""
    found = benchmark("distribute")
    rows = [
        [name, *(f"{row[key]:.0f}" for key in ("median", "least", "processors"))]
        for name, row in found.items()
    ]
    return table(["a step of 100 frames [ms]", "median", "fastest", "processor time"], rows)


def scaling() -> str:
    """Generations of a search by ranks: modelled from measured parts."""
    found = benchmark("scaling")
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
    found = benchmark("scaling")
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
    found = benchmark("episodes")
    parts = []
    for name, heading in (("measured", "measured"), ("computed for a million episodes",) * 2):
        rows = [
            [key, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"]
            for key, value in found[name].items()
        ]
        parts.append(table([heading, ""], rows))
    return "\n".join(parts)


def recording() -> str:
    """How quickly episodes of another environment are recorded, beside a plain loop in the same run."""
    if not (RESULTS / "gym_recording.json").exists():
        return "No result yet: `python -m benchmarks gym_recording` writes it.\n"
    found = benchmark("gym_recording")
    ratios = found["times the plain loop"]
    rows = [
        [name, f"{rate:.0f}", f"{ratios[name]:.2f}"] for name, rate in found["steps per second"].items()
    ]
    return table(["CarRacing-v3, random actions", "steps a second", "times the plain loop"], rows)


TABLES = (recording, speed, ppo, distribute, scaling, measured_ranks, episodes)
