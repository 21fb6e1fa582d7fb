// The world model that lies in the page of one file: its packed blocks, the runtime, the dream.

import { CategoricalDream } from "./categorical.js";
import { Dream } from "./dream.js";

const KINDS = { "mdn-rnn": Dream, categorical: CategoricalDream };
const ARRAYS = { f4: Float32Array, u1: Uint8Array };

/** What the page says of its blocks, and all else that is not packed. */
export const about = () => JSON.parse(document.getElementById("about").textContent);

/** Bytes of characters that hold 15 bits each, as dreamduck.export.packing writes them. */
export function bytesOf(text, size) {
  const bytes = new Uint8Array(size);
  let [held, bits, at] = [0, 0, 0];
  for (let k = 0; k < text.length; k++) {
    held = (held << 15) | (text.charCodeAt(k) - 0x100);
    for (bits += 15; bits >= 8;) bytes[at++] = held >> (bits -= 8);
    held &= (1 << bits) - 1;
  }
  return bytes;
}

/** The bytes that `by_halves` of dreamduck.export.packing took apart. */
export function joined(halves) {
  const bytes = new Uint8Array(halves.length);
  const second = (halves.length + 1) >> 1;
  for (let k = 0; k < halves.length; k++) bytes[k] = halves[(k >> 1) + (k % 2 ? second : 0)];
  return bytes;
}

/** The bytes that lie in the page, packed, under an id. */
export async function block(id) {
  const { textContent, dataset } = document.getElementById(id);
  const packed = bytesOf(textContent, Number(dataset.size));
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
  for (const name of graphs) blocks.graphs[name] = joined(await block(name));
  return blocks;
}

/** The dream of these blocks. */
export async function load({ runtime, wasm, graphs }, about) {
  const ort = await import(URL.createObjectURL(new Blob([runtime], { type: "text/javascript" })));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm.buffer;
  return new KINDS[about.kind](ort, about, graphs).load();
}

/** The address of a module of this page, with all that it imports inside: workers of a file on a disk can load no other. */
export function workerAddress(name) {
  const text = document.getElementById(`module-${name}`).textContent;
  const source = text.replace(/from "\.\/([a-z_]+\.js)"/g, (_, other) => `from "${workerAddress(other)}"`);
  const letters = Array.from(new TextEncoder().encode(source), (byte) => String.fromCharCode(byte)).join("");
  return `data:text/javascript;charset=utf-8;base64,${btoa(letters)}`;
}
