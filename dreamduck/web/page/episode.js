// The episode on the screen as this tab knows it, so that it can continue when the server was away.

export class Episode {
  constructor() {
    this.start = null;
    this.moments = []; // throttle, steering, temperature and [latent, value] pairs, as the server sent them
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
    const head = JSON.stringify({ v: 1, start: { ...this.start, z }, temperatures, pulls: changed });
    const actions = new Uint8Array(Int16Array.from(taken.flatMap(([throttle, steering]) => [throttle, steering])).buffer);
    const packed = new Blob([head, "\0", actions]).stream().pipeThrough(new CompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    return letters(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }
}

function letters(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
