// The episode on the screen as this tab knows it, so that it can continue when the server was away.

export const GRID = 32767; // actions are integer multiples of 1 / GRID, so that a link carries them exactly

export class Episode {
  constructor() {
    this.start = null;
    this.moments = []; // throttle, steering, temperature, [latent, value] pairs and whether synced, as the server sent them
    this.coming = null; // the start of a world of which nothing was received yet
  }

  /** Another world was begun; the one before counts until something of this one arrives. */
  begin(start) {
    this.coming = start;
  }

  /** Take what has changed: the first moment that did, and all from there on. Returns whether a known episode changed. */
  update([first, rows]) {
    const known = !this.coming;
    if (!known) {
      this.start = this.coming;
      this.moments = [];
      this.coming = null;
    }
    this.moments.length = Math.min(this.moments.length, first);
    this.moments.push(...rows);
    return known && rows.length > 0;
  }

  /** Take an episode that was kept. */
  restore({ start, moments }) {
    Object.assign(this, { start, moments, coming: null });
  }

  /** The whole episode as a link; the same as `to_link` of dreamduck.web.share_link makes. */
  async link() {
    const taken = this.moments.slice(1);
    const temperatures = [];
    for (const [, , temperature] of taken) {
      const last = temperatures.at(-1);
      if (last?.[1] === temperature) last[0] += 1;
      else temperatures.push([1, temperature]);
    }
    const changed = this.moments.flatMap(([, , , latents], step) => latents.map((latent) => [step, ...latent]));
    const z = letters(new Uint8Array(Float32Array.from(this.start.z).buffer));
    const synced = this.moments.flatMap(([, , , , now], step) => (now ? [step] : []));
    const head = JSON.stringify({ v: 1, start: { ...this.start, z }, temperatures, pulls: changed, ...(synced.length && { synced }) });
    const actions = new Uint8Array(Int16Array.from(taken.flatMap(([throttle, steering]) => [throttle, steering])).buffer);
    const packed = new Blob([head, "\0", actions]).stream().pipeThrough(new CompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    return letters(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }
}

/** What is in a link; the same as `from_link` of dreamduck.web.share_link, but the page of one file checks less. */
export async function fromLink(link) {
  const packed = bytesOf(link.replaceAll("-", "+").replaceAll("_", "/"));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(unpacked).arrayBuffer());
  const end = bytes.indexOf(0);
  const { v, start, temperatures, pulls, synced = [] } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  if (v !== 1) throw new Error("another version");
  const numbers = new Int16Array(bytes.slice(end + 1).buffer);
  const actions = Array.from({ length: numbers.length / 2 }, (_, k) => [numbers[2 * k] / GRID, numbers[2 * k + 1] / GRID]);
  const each = temperatures.flatMap(([count, temperature]) => Array(count).fill(temperature));
  return { start: { ...start, z: [...new Float32Array(bytesOf(start.z).buffer)] }, actions, temperatures: each, changed: pulls, synced };
}

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function letters(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
