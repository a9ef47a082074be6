// Explanations by the cells of a picture and by the words of a text.

import { toBytes } from "./bytes.js";
import { signedBars } from "./charts.js";
import { h } from "./dom.js";
import { titleOf } from "./schema.js";
import { figure, percent } from "./sentence.js";

// The colors of the server's heat map; people who see few colors can distinguish them.
const RAISES = [0, 114, 178];
const LOWERS = [213, 94, 0];
const OPACITY = 0.75;
const LONGER_SIDE = 480;
const NAMED = 5;
const WORDS = 12;
const LEVELS = 4;

/** Return the explanation of a picture: a heat map over it, its strongest cells, and all values. */
export function pictureExplanation(explanation, record) {
  const cells = explanation.cells.flatMap((row, y) => row.map((value, x) => ({ value, x, y })))
    .sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
  const named = cells.slice(0, NAMED).filter(({ value }) => value !== 0);
  const canvas = h("canvas", { class: "picture", role: "img", "aria-label": summaryOf(explanation, named) });
  const colored = h("input", { type: "checkbox", checked: true });
  const paint = decoded(record[explanation.field]).then((bitmap) => {
    colored.addEventListener("change", () => drawHeatMap(canvas, bitmap, explanation, named, colored.checked));
    drawHeatMap(canvas, bitmap, explanation, named, true);
  });
  paint.catch(() => canvas.replaceWith(h("p", { class: "error" }, "The picture cannot be drawn here; the values stand below.")));
  const text = signed(explanation);
  return h("section", { class: "part heat-map" },
    h("h3", {}, headlineOf(explanation, "by part of the picture")),
    h("p", { class: "hint" }, `With the whole picture blurred it is ${numberOf(explanation)(explanation.base)}. Each part adds or takes its share:`),
    h("figure", {}, canvas, h("figcaption", { class: "legend" },
      h("span", { class: "swatch raises" }, "raises it"), h("span", { class: "swatch lowers" }, "lowers it"),
      h("label", {}, colored, "Show the colors"))),
    named.length ? signedBars(named.map((cell, place) => ({ name: `${place + 1}. ${placeOf(cell)}`, value: cell.value, text: text(cell.value) }))) : null,
    valuesOf(explanation),
    h("p", { class: "quiet" }, effortOf(explanation, "pictures with some parts blurred")),
    explanation.activation_map ? activationFigure(explanation, record) : null);
}

/** Return where the network looked: the share of each position of its last layer in the logit. */
function activationFigure({ activation_map: { label, logit, cells }, field }, record) {
  const about = `Class-activation map of ${label}: the shares of ${cells.length} x ${cells[0].length} positions in its logit of ${figure(logit)}`;
  const canvas = h("canvas", { class: "picture activation", role: "img", "aria-label": about });
  decoded(record[field]).then((bitmap) => drawHeatMap(canvas, bitmap, { cells }, [], true))
    .catch(() => canvas.replaceWith(h("p", { class: "error" }, "The picture cannot be drawn here.")));
  return h("details", {}, h("summary", {}, "Where the network looked"),
    h("p", { class: "hint" }, `The network adds up its last layer, position by position. The colors show what each position adds to or takes from the logit of ${label}, which is ${figure(logit)}.`),
    h("figure", {}, canvas));
}

/** Return the explanation of texts: their words colored, and the strongest words as bars. */
export function textExplanation(explanation, record) {
  const largest = Math.max(...explanation.spans.map(({ value }) => Math.abs(value)), 1e-12);
  const strongest = [...explanation.spans].sort((one, other) => Math.abs(other.value) - Math.abs(one.value)).slice(0, WORDS);
  const fields = [...new Set(explanation.spans.map(({ field }) => field))];
  const text = signed(explanation);
  return h("section", { class: "part" },
    h("h3", {}, headlineOf(explanation, "by word")),
    h("p", { class: "hint" }, `Without any word it is ${numberOf(explanation)(explanation.base)}. Each word adds or takes its share:`),
    fields.map((field) => h("div", {}, fields.length > 1 ? h("p", { class: "quiet" }, titleOf(field)) : null, coloredText(field, record[field], explanation.spans.filter((span) => span.field === field), largest))),
    h("p", { class: "legend" }, h("span", { class: "swatch raises" }, "raises it"), h("span", { class: "swatch lowers" }, "lowers it")),
    signedBars(strongest.map((span) => ({ name: shortText(span.text), value: span.value, text: text(span.value) }))),
    h("p", { class: "quiet" }, effortOf(explanation, "texts without some of the words")));
}

async function decoded(text) {
  return createImageBitmap(new Blob([toBytes(text)]), { imageOrientation: "from-image" });
}

function drawHeatMap(canvas, bitmap, { cells }, named, colored) {
  const longer = Math.max(bitmap.width, bitmap.height);
  const scale = longer < LONGER_SIDE ? Math.ceil(LONGER_SIDE / longer) : LONGER_SIDE / longer;
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  if (!colored) return;
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "hsl(0 0% 50%)";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  const largest = Math.max(...cells.flat().map(Math.abs), 1e-12);
  const [high, wide] = [canvas.height / cells.length, canvas.width / cells[0].length];
  cells.forEach((row, y) => row.forEach((value, x) => {
    const strength = (OPACITY * Math.abs(value)) / largest;
    context.fillStyle = `rgb(${(value < 0 ? LOWERS : RAISES).join(" ")} / ${strength})`;
    const [left, top] = [Math.round(x * wide), Math.round(y * high)];
    context.fillRect(left, top, Math.round((x + 1) * wide) - left, Math.round((y + 1) * high) - top);
  }));
  named.forEach(({ x, y }, place) => number(context, place + 1, (x + 0.5) * wide, (y + 0.5) * high, Math.min(high, wide)));
}

/** Write a number in the middle of a cell, readable on light and dark. */
function number(context, text, x, y, side) {
  context.font = `700 ${Math.max(12, Math.round(side * 0.35))}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 4;
  context.strokeStyle = "#000";
  context.strokeText(text, x, y);
  context.fillStyle = "#fff";
  context.fillText(text, x, y);
}

function coloredText(name, text, spans, largest) {
  // Positions count characters as Python does, not the halves of rare ones.
  const letters = [...text];
  const parts = [];
  let at = 0;
  for (const { start, end, value } of spans) {
    parts.push(letters.slice(at, start).join(""));
    const level = Math.round((LEVELS * Math.abs(value)) / largest);
    const kind = level ? `${value < 0 ? "lowers" : "raises"}-${level}` : "";
    parts.push(h("span", { class: `word ${kind}` }, letters.slice(start, end).join("")));
    at = end;
  }
  parts.push(letters.slice(at).join(""));
  return h("p", { class: "words scroll", tabIndex: 0, role: "region", "aria-label": `${titleOf(name)} with its words colored` }, parts);
}

function valuesOf(explanation) {
  const number = signed(explanation);
  const columns = explanation.cells[0].map((_, x) => h("th", { scope: "col" }, `${x + 1}`));
  const rows = explanation.cells.map((row, y) => h("tr", {}, h("th", { scope: "row" }, `Row ${y + 1}`), row.map((value) => h("td", { class: "number" }, value === 0 ? "0" : number(value)))));
  const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Column"), columns));
  return h("details", {}, h("summary", {}, "All values as a table"),
    h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Values of all parts" }, h("table", {}, head, h("tbody", {}, rows))));
}

function numberOf({ unit, value, base }) {
  return unit === "probability" || [value, base].every((each) => each >= 0 && each <= 1) ? percent : figure;
}

function signed(explanation) {
  const number = numberOf(explanation);
  return (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`;
}

function headlineOf(explanation, parts) {
  const { explained, unit, value } = explanation;
  const what = explained === unit || explained.includes(unit) ? titleOf(explained) : `${titleOf(unit)} of ${explained}`;
  return `${what} ${numberOf(explanation)(value)}, ${parts}`;
}

function summaryOf(explanation, named) {
  const text = signed(explanation);
  const parts = named.map((cell) => `${placeOf(cell)}: ${text(cell.value)}`);
  return `The picture in ${explanation.cells.length} rows and ${explanation.cells[0].length} columns of parts. ${parts.length ? `The strongest are ${parts.join(", ")}.` : "No part matters."}`;
}

function placeOf({ x, y }) {
  return `Row ${y + 1}, column ${x + 1}`;
}

function effortOf(explanation, what) {
  const errors = (explanation.standard_error?.flat() ?? explanation.spans.map((span) => span.standard_error));
  const largest = Math.max(...errors);
  const error = largest > 0 ? ` The sampling error of a value is at most ${numberOf(explanation)(largest)}.` : "";
  return `The model was given ${explanation.evaluations.toLocaleString("en")} ${what}.${error}`;
}

function shortText(text) {
  return text.length > 30 ? `${text.slice(0, 30)}...` : text;
}
