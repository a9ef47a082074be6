// The pixels that a network takes, to the last digit as the server makes them with Pillow.

// Pillow computes with integers: weights have 22 bits after the point.
const BITS = 22;
const HALF = 2 ** (BITS - 1);

/** Return brightness from 0 to 1 (channels, height, width), as Float32Array. */
export function prepare(bitmap, { height, width, mode }) {
  const planes = planesOf(bitmap, mode);
  const size = height * width;
  const brightness = new Float32Array(planes.length * size);
  planes.forEach((plane, channel) => {
    resize(plane, [bitmap.height, bitmap.width], [height, width]).forEach((value, place) => {
      brightness[channel * size + place] = value / 255;
    });
  });
  return brightness;
}

/** Return the colors, or the grey values, of each pixel; transparent parts are black. */
function planesOf(bitmap, mode) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const count = canvas.width * canvas.height;
  const planes = Array.from({ length: mode === "L" ? 1 : 3 }, () => new Uint8Array(count));
  for (let place = 0; place < count; place += 1) {
    const [red, green, blue] = [data[4 * place], data[4 * place + 1], data[4 * place + 2]];
    // The weights of ITU-R 601-2 in 16 bits.
    if (mode === "L") planes[0][place] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
    else [planes[0][place], planes[1][place], planes[2][place]] = [red, green, blue];
  }
  return planes;
}

/**
 * Return a plane in another size, by a triangle filter as wide as the reduction.
 *
 * Both passes round, so their order shows. Pillow 13 begins with the columns if that leaves out far
 * more rows than columns.
 */
function resize(plane, from, to) {
  const [height, width] = from;
  const [high, wide] = to;
  const columnsFirst = high < height && height - high > 2 * (width - wide);
  if (columnsFirst) return resizeRows(resizeColumns(plane, from, high), [high, width], wide);
  return resizeColumns(resizeRows(plane, from, wide), [height, wide], high);
}

function resizeRows(plane, [height, width], wide) {
  if (width === wide) return plane;
  return pass(plane, weightsOf(width, wide), height, (row, x) => row * width + x, (row, x) => row * wide + x);
}

function resizeColumns(plane, [height, width], high) {
  if (height === high) return plane;
  return pass(plane, weightsOf(height, high), width, (column, y) => y * width + column, (column, y) => y * width + column);
}

function pass(plane, weights, lines, from, to) {
  const resized = new Uint8Array(lines * weights.length);
  for (let line = 0; line < lines; line += 1) {
    weights.forEach(({ first, values }, at) => {
      let sum = HALF;
      values.forEach((weight, offset) => { sum += weight * plane[from(line, first + offset)]; });
      resized[to(line, at)] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
    });
  }
  return resized;
}

/** Return for each place of the result its first pixel and the weights from there on. */
function weightsOf(length, resized) {
  const scale = length / resized;
  const support = Math.max(scale, 1);
  return Array.from({ length: resized }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(length, Math.trunc(center + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, offset) => Math.max(0, 1 - Math.abs((first + offset - center + 0.5) * (1 / support))));
    const total = raw.reduce((sum, each) => sum + each, 0);
    return { first, values: raw.map((each) => Math.trunc(0.5 + (each / total) * 2 ** BITS)) };
  });
}
