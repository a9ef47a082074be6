// Charts as SVG, and tables. Each has its numbers as text, so nothing is told by color or length alone.

import { h, svg, uniqueId } from "./dom.js";
import { figure, percent } from "./sentence.js";
import { titleOf } from "./schema.js";

const MOST_BARS = 12;
const MOST_ROWS = 50;

/** Return bars for numbers by name, the largest first; shares of 1 are shown in percent. */
export function bars(table, { chosen } = {}) {
  const entries = Object.entries(table).sort((one, other) => other[1] - one[1]);
  const largest = Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-12);
  const shares = entries.every(([, value]) => value >= 0 && value <= 1);
  const line = ([name, value]) => h("li", { class: name === String(chosen) ? "bar chosen" : "bar" },
    h("span", { class: "bar-name" }, name.replaceAll("_", " ")),
    h("progress", { max: shares ? 1 : largest, value: Math.abs(value), "aria-hidden": "true" }),
    h("span", { class: "bar-value" }, shares ? percent(value) : figure(value)));
  const list = h("ol", { class: "bars" }, entries.slice(0, MOST_BARS).map(line));
  if (entries.length <= MOST_BARS) return list;
  const rest = h("ol", { class: "bars" }, entries.slice(MOST_BARS).map(line));
  return h("div", {}, list, h("details", {}, h("summary", {}, `${entries.length - MOST_BARS} more`), rest));
}

/** Return a curve of a list of numbers, with a band if `low` and `high` are lists of equal length. */
export function curve(name, values, { low, high } = {}) {
  const [wide, tall, margin] = [640, 200, 8];
  const every = [...values, ...(low ?? []), ...(high ?? [])];
  const [bottom, top] = [Math.min(...every), Math.max(...every)];
  const x = (place) => margin + (place / Math.max(1, values.length - 1)) * (wide - 2 * margin);
  const y = (value) => tall - margin - ((value - bottom) / (top - bottom || 1)) * (tall - 2 * margin);
  const path = (list) => list.map((value, place) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const band = low && high ? svg("polygon", { points: `${path(high)} ${path(low).split(" ").reverse().join(" ")}`, class: "band" }) : null;
  const title = uniqueId("curve");
  const label = `${titleOf(name)}: ${values.length} values from ${figure(Math.min(...values))} to ${figure(Math.max(...values))}`;
  return h("figure", { class: "curve" },
    svg("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-labelledby": title, preserveAspectRatio: "none" },
      svg("title", { id: title }, label), band, svg("polyline", { points: path(values), class: "line" })),
    h("figcaption", { class: "axis" }, h("span", {}, `first ${figure(values[0])}`), h("span", {}, `lowest ${figure(bottom)}, highest ${figure(top)}`), h("span", {}, `last ${figure(values.at(-1))}`)));
}

/** Return a number on the line between the bounds of its interval. */
export function interval({ low, high, value }) {
  const [wide, tall] = [320, 34];
  const span = high - low || 1;
  const [from, to] = [Math.min(low, value) - span * 0.15, Math.max(high, value) + span * 0.15];
  const x = (each) => ((each - from) / (to - from)) * wide;
  return h("figure", { class: "interval" },
    svg("svg", { viewBox: `0 0 ${wide} ${tall}`, "aria-hidden": "true" },
      svg("line", { x1: 0, x2: wide, y1: 17, y2: 17, class: "base" }),
      svg("line", { x1: x(low), x2: x(high), y1: 17, y2: 17, class: "range" }),
      svg("circle", { cx: x(value), cy: 17, r: 8, class: "dot" })),
    h("figcaption", {}, `between ${figure(low)} and ${figure(high)}`));
}

/** Return a table of records; columns are the union of their fields. */
export function table(records) {
  const columns = [...new Set(records.flatMap((each) => Object.keys(each)))];
  const cell = (value) => h("td", { class: typeof value === "number" ? "number" : "" }, shown(value));
  const rowsOf = (list) => list.map((each) => h("tr", {}, columns.map((name) => cell(each[name]))));
  const body = h("tbody", {}, rowsOf(records.slice(0, MOST_ROWS)));
  const head = h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col", class: typeof records[0][name] === "number" ? "number" : "" }, titleOf(name)))));
  const more = records.length > MOST_ROWS ? h("p", { class: "quiet" }, `${MOST_ROWS} of ${records.length} rows; all are under Raw`) : null;
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" }, h("table", {}, head, body), more);
}

/** Return a value of a table's cell or a list of facts as a short text. */
export function shown(value) {
  if (value === null || value === undefined) return "not given";
  if (typeof value === "number") return figure(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value;
  return JSON.stringify(value);
}

/** Return signed bars around a middle line: what pushes the number up, and what pushes it down. */
export function signedBars(entries) {
  const largest = Math.max(...entries.map(({ value }) => Math.abs(value)), 1e-12);
  return h("ol", { class: "signed" }, entries.map(({ name, given, value, text }) => {
    const share = (Math.abs(value) / largest) * 50;
    const bar = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("line", { x1: 50, x2: 50, y1: 0, y2: 10, class: "base" }),
      svg("rect", { x: value < 0 ? 50 - share : 50, width: share, y: 1, height: 8, class: value < 0 ? "down" : "up" }));
    return h("li", {}, h("span", { class: "bar-name" }, titleOf(name), given === undefined ? null : h("span", { class: "quiet" }, ` ${given}`)), bar, h("span", { class: "bar-value" }, text));
  }));
}
