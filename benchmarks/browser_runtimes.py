"""ONNX Runtime Web and TensorFlow.js on the dream, and frames a second of the page: in a real Chromium.


The libraries run networks of the former sizes, with random weights; page and file the model that ships, or
another one by `python -m benchmarks.browser_runtimes --weights FOLDER --controller FILE`. Needs Chromium,
Node.js, and `npm install` in benchmarks/browser; without them it prints a message."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import save
from dreamduck.export.mdn_rnn_graphs import mdn_rnn_graph
from dreamduck.export.static_export import main as export
from dreamduck.export.vae_graphs import decoder_graph
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from dreamduck.world_model.mdn_rnn.layout import initial_parameters
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.layout import Z_SIZE
from dreamduck.world_model.vae.layout import initial_parameters as initial_vae

HERE = Path(__file__).parent / "browser"
COMMAND = "python -m benchmarks browser_runtimes"


def main(flags: list[str]) -> None:
    if shutil.which("node") is None or not (HERE / "node_modules").is_dir():
        print("not run: it needs Chromium, Node.js, `make page`, and `npm install` in benchmarks/browser")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = MDNRNNConfig()
        rnn = MDNRNN(initial_parameters(config, 0), config)
        (folder / "mdn_rnn.onnx").write_bytes(mdn_rnn_graph(rnn))
        (folder / "decoder.onnx").write_bytes(decoder_graph(VAE(initial_vae(Z_SIZE, 0))))
        export([str(folder / "dream.html"), *flags])
        command = [sys.executable, "-m", "dreamduck", "drive", "--port", "0", *flags]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix("Drive at ").strip()
            try:
                node = ["node", str(HERE / "bench.mjs"), name, address]
                results = json.loads(
                    subprocess.run(node, check=True, stdout=subprocess.PIPE, text=True).stdout
                )
            finally:
                server.terminate()
    peers = results["milliseconds"]
    ours = peers["onnxruntime-web wasm"]
    results["times_quicker"] = {
        name: {what: round(peer[what] / ours[what], 1) for what in ours} for name, peer in peers.items()
    }
    print(json.dumps(results, indent=2))
    print(save("browser_runtimes", COMMAND, results))


if __name__ == "__main__":
    main(sys.argv[1:])
