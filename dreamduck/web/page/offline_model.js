// The world model that lies in the page of one file: its packed blocks, the runtime, the dream.

import { CategoricalDream } from "./categorical.js";
import { Dream } from "./dream.js";

const KINDS = { "mdn-rnn": Dream, categorical: CategoricalDream };
const ARRAYS = { f4: Float32Array, u1: Uint8Array };

/** What the page says of its blocks, and all else that is not packed. */
export const about = () => JSON.parse(document.getElementById("about").textContent);

/** The bytes that lie in the page, packed, under an id. */
export async function block(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The arrays that lie one after the other in the page, by name. */
export async function numbers(layout) {
  const { buffer } = await block("numbers");
  return Object.fromEntries(Object.entries(layout).map(([name, [kind, at, length]]) => [name, new ARRAYS[kind](buffer, at, length)]));
}

/** The blocks that `load` takes, with these graphs; a worker can be sent them. */
export async function modelBlocks(graphs) {
  const blocks = { runtime: await block("runtime"), wasm: await block("wasm"), graphs: {} };
  for (const name of graphs) blocks.graphs[name] = await block(name);
  return blocks;
}

/** The dream of these blocks. */
export async function load({ runtime, wasm, graphs }, about) {
  const ort = await import(URL.createObjectURL(new Blob([runtime], { type: "text/javascript" })));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm.buffer;
  return new KINDS[about.kind](ort, about, graphs).load();
}
