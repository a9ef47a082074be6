// Draws boxes, points, masks and tracks over a picture, with their labels and scores.

// Told apart in light and dark pictures, also by people who see few colours: each has its label too.
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5cd6", "#b8860b", "#56b4e9", "#e6194b"];

/** Return the color of a label; equal labels have equal colors. */
export function colorOf(label) {
  let sum = 0;
  for (const letter of String(label ?? "")) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return COLORS[sum % COLORS.length];
}

// With more boxes, captions are short: their scores stand below the picture.
const CROWD = 4;

/** Draw shapes, given as {kind, value}, in pixels of the picture times `scale`. */
export function drawShapes(context, shapes, scale) {
  const boxed = shapes.filter(({ kind, value }) => value && (kind === "box" || kind === "track"));
  const crowded = boxed.length > CROWD;
  const alike = new Set(boxed.map(({ value }) => value.label)).size === 1;
  const longest = Math.max(context.canvas.width, context.canvas.height);
  const size = Math.max(12, Math.round(longest / (crowded ? 40 : 28)));
  const pen = { context, scale, size, crowded, alike, taken: [] };
  context.lineWidth = Math.max(2, size / 6);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const { kind, value } of shapes) if (kind === "mask" && value) drawMask(context, value);
  for (const { kind, value } of shapes) {
    if (!value) continue;
    if (kind === "box") drawBox(pen, value, value.label, boxCaption(value, pen));
    if (kind === "point") drawPoint(context, value, scale, size);
    if (kind === "track") drawTrack(pen, value);
  }
}

/** Return the name of a shape, with its number if it is a track, and its score: "person 3 74 %". */
export function nameOf({ label, id, score, box }) {
  const share = score ?? box?.score;
  if (!label && id === undefined && share === 1) return "";
  const name = [label, id].filter((each) => each !== undefined && each !== "").join(" ");
  return [name, typeof share === "number" ? `${Math.round(share * 100)} %` : ""].filter(Boolean).join(" ");
}

function boxCaption(box, { crowded, alike }) {
  if (!crowded) return nameOf(box);
  return alike ? "" : box.label ?? "";
}

function trackCaption(track, { crowded, alike }) {
  return crowded && alike ? String(track.id ?? "") : nameOf(track);
}

function drawBox({ context, scale, size, taken }, { x1, y1, x2, y2 }, label, caption) {
  if (![x1, y1, x2, y2].every(Number.isFinite)) return;
  const color = colorOf(label);
  context.strokeStyle = color;
  context.strokeRect(x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale);
  if (!caption) return;
  const wide = context.measureText(caption).width + size * 0.6;
  const high = size * 1.3;
  const left = Math.max(0, Math.min(x1 * scale, context.canvas.width - wide));
  const top = freeTop([y1 * scale - high, y2 * scale, y1 * scale], { left, wide, high, taken, height: context.canvas.height });
  taken.push({ left, top, wide, high });
  context.fillStyle = color;
  context.fillRect(left, top, wide, high);
  context.fillStyle = "#fff";
  context.fillText(caption, left + size * 0.3, top + size * 0.15);
}

/** Return the first place within the picture that covers no other caption; else the last one. */
function freeTop(places, { left, wide, high, taken, height }) {
  const free = (top) => top >= 0 && top + high <= height && !taken.some((each) =>
    left < each.left + each.wide && each.left < left + wide && top < each.top + each.high && each.top < top + high);
  return places.find(free) ?? places.at(-1);
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

function drawTrack(pen, track) {
  const { context, scale } = pen;
  const trail = (track.trail ?? []).map((each) => (Array.isArray(each) ? { x: each[0], y: each[1] } : each));
  context.strokeStyle = colorOf(track.id);
  context.beginPath();
  trail.forEach(({ x, y }, place) => (place ? context.lineTo(x * scale, y * scale) : context.moveTo(x * scale, y * scale)));
  context.stroke();
  const box = track.box ?? track.boxes?.at(-1) ?? ("x1" in track ? track : null);
  if (box) drawBox(pen, box, track.id, trackCaption(track, pen));
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
