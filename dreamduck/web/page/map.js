// The road from above: tiles, lanes, things, and the path that was driven.

const SIZE = 640; // pixels of the canvas's longer side

export class RoadMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.path = [];
  }

  /** Begin with a map as the server outlines it; null: there is none. */
  begin(outline) {
    this.outline = outline;
    this.path = [];
    if (!outline) return;
    this.scale = SIZE / Math.max(outline.width, outline.height) / outline.tile_size;
    this.canvas.width = outline.width * outline.tile_size * this.scale;
    this.canvas.height = outline.height * outline.tile_size * this.scale;
    this.road = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.drawRoad(this.road.getContext("2d"));
  }

  drawRoad(context) {
    const { tiles, tile_size: size, lanes, things } = this.outline;
    const s = this.scale;
    context.fillStyle = "#3a3d45";
    for (const [i, j] of tiles) context.fillRect(i * size * s, j * size * s, size * s + 0.5, size * s + 0.5);
    context.strokeStyle = "#8d8a6a";
    context.lineWidth = 0.02 * s;
    context.setLineDash([0.06 * s, 0.05 * s]);
    for (const points of lanes) {
      const [[ax, az], [bx, bz], [cx, cz], [dx, dz]] = points;
      context.beginPath();
      context.moveTo(ax * s, az * s);
      context.bezierCurveTo(bx * s, bz * s, cx * s, cz * s, dx * s, dz * s);
      context.stroke();
    }
    context.fillStyle = "#6f7f95";
    for (const [, x, z] of things) {
      context.beginPath();
      context.arc(x * s, z * s, 0.05 * s, 0, 7);
      context.fill();
    }
  }

  /** Add a moment's pose. */
  add({ step, length, pose }) {
    this.path.length = Math.min(this.path.length, length + 1);
    this.path[step] = pose;
  }

  /** Draw; what lies ahead of a moment gone back to is drawn faintly. */
  show({ step, pose }) {
    if (!this.outline || !pose) return;
    const context = this.canvas.getContext("2d");
    const s = this.scale;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.road, 0, 0);
    context.lineWidth = Math.max(2.5, 0.03 * s);
    context.lineJoin = "round";
    this.line(context, this.path.slice(step), "#ffd23f55");
    this.line(context, this.path.slice(0, step + 1), "#ffd23f");
    const [x, z, heading] = pose;
    const nose = Math.max(0.12 * s, 9);
    context.save();
    context.translate(x * s, z * s);
    context.rotate(-heading);
    context.fillStyle = "#f2792b";
    context.beginPath();
    context.moveTo(nose, 0);
    context.lineTo(-nose * 0.7, -nose * 0.65);
    context.lineTo(-nose * 0.7, nose * 0.65);
    context.fill();
    context.restore();
  }

  line(context, path, color) {
    context.strokeStyle = color;
    context.beginPath();
    for (const at of path) if (at) context.lineTo(at[0] * this.scale, at[1] * this.scale);
    context.stroke();
  }
}
