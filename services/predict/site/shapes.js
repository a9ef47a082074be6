// Draws boxes, points, masks and tracks over a picture, with their labels and scores.

// Told apart in light and dark pictures, also by people who see few colours: each has its label too.
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5cd6", "#b8860b", "#56b4e9", "#e6194b"];

/** Return the color of a label; equal labels have equal colors. */
export function colorOf(label) {
  let sum = 0;
  for (const letter of String(label ?? "")) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return COLORS[sum % COLORS.length];
}

/** Draw shapes, given as {kind, value}, in pixels of the picture times `scale`. */
export function drawShapes(context, shapes, scale) {
  const size = Math.max(12, Math.round(Math.max(context.canvas.width, context.canvas.height) / 28));
  context.lineWidth = Math.max(2, size / 6);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const { kind, value } of shapes) if (kind === "mask" && value) drawMask(context, value);
  for (const { kind, value } of shapes) {
    if (!value) continue;
    if (kind === "box") drawBox(context, value, scale, size, captionOf(value));
    if (kind === "point") drawPoint(context, value, scale, size);
    if (kind === "track") drawTrack(context, value, scale, size);
  }
}

function captionOf({ label, score }) {
  if (!label && score === 1) return "";
  const share = typeof score === "number" ? ` ${Math.round(score * 100)} %` : "";
  return `${label ?? ""}${share}`.trim();
}

function drawBox(context, { x1, y1, x2, y2, label }, scale, size, caption) {
  if (![x1, y1, x2, y2].every(Number.isFinite)) return;
  const color = colorOf(label);
  context.strokeStyle = color;
  context.strokeRect(x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
  if (!caption) return;
  const wide = context.measureText(caption).width + size * 0.6;
  const high = size * 1.3;
  const left = Math.max(0, Math.min(x1 * scale, context.canvas.width - wide));
  const top = y1 * scale >= high ? y1 * scale - high : y1 * scale;
  context.fillStyle = color;
  context.fillRect(left, top, wide, high);
  context.fillStyle = "#fff";
  context.fillText(caption, left + size * 0.3, top + size * 0.15);
}

function drawPoint(context, { x, y, label }, scale, size) {
  if (!Number.isFinite(x) || !Number.isFinite(y)) return;
  context.beginPath();
  context.arc(x * scale, y * scale, size / 2.2, 0, 2 * Math.PI);
  context.fillStyle = colorOf(label);
  context.fill();
  context.strokeStyle = "#fff";
  context.stroke();
  if (label) context.fillText(label, x * scale + size * 0.7, y * scale - size / 2);
}

function drawTrack(context, track, scale, size) {
  const label = `${track.label ?? ""} ${track.id ?? ""}`.trim();
  const trail = (track.trail ?? []).map((each) => (Array.isArray(each) ? { x: each[0], y: each[1] } : each));
  context.strokeStyle = colorOf(track.id);
  context.beginPath();
  trail.forEach(({ x, y }, place) => (place ? context.lineTo(x * scale, y * scale) : context.moveTo(x * scale, y * scale)));
  context.stroke();
  const box = track.box ?? track.boxes?.at(-1) ?? ("x1" in track ? track : null);
  if (box) drawBox(context, { ...box, label: track.id }, scale, size, captionOf({ label, score: track.score ?? box.score }));
}

/** Tint the pixels of a mask; its run lengths go along rows and begin with those outside. */
function drawMask(context, { height, width, counts, label }) {
  if (!height || !width) return;
  const layer = new OffscreenCanvas(width, height);
  const inner = layer.getContext("2d");
  const image = inner.createImageData(width, height);
  const [red, green, blue] = channels(colorOf(label));
  let at = 0;
  (counts ?? []).forEach((length, place) => {
    if (place % 2) for (let pixel = at; pixel < at + length; pixel += 1) image.data.set([red, green, blue, 130], pixel * 4);
    at += length;
  });
  inner.putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
}

function channels(color) {
  return [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));
}
