// Says a prediction in one sentence, from its schema.

import { choicesOf, fieldsOf, kindOf, titleOf } from "./schema.js";

const PROBABILITIES = ["probability", "score", "confidence", "certainty"];
const BOUNDS = [["low", "high"], ["lower", "upper"], ["minimum", "maximum"]];
const MEDIA = ["image", "audio", "video", "blob", "bytes"];
// Where a prediction begins with one of these, it is the answer: authors put it first.
const LEADING = ["choice", "boolean", "string", "date", "integer", "list-of-record", "list-of-texts"];
const MOST_NAMED = 3;
const DRAWN_WORDS = { box: ["box", "boxes"], point: ["point", "points"], track: ["track", "tracks"], mask: ["mask", "masks"] };

/** Return a number for people: by default four significant digits, thousands grouped. */
export function figure(value, significant = 4) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const digits = Math.abs(value) >= 1000 ? 0 : Math.max(0, significant - 1 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.min(digits, 6) });
}

export function percent(share) {
  const value = share * 100;
  const digits = (value > 0 && value < 1) || (value > 99 && value < 100) ? 1 : 0;
  return `${value.toFixed(digits)} %`;
}

/**
 * Return the main field of a prediction and a sentence for it.
 *
 * {name, kind, headline, detail, interval}: `name` is null where no single field is the answer.
 */
export function sentenceOf(schema, root, prediction) {
  const fields = [...fieldsOf(schema, root)].map(([name, field]) => ({ name, field, kind: kindOf(field, root), value: prediction[name] }))
    .filter(({ value }) => value !== undefined && value !== null);
  const main = mainField(fields);
  if (!main) return { name: null, kind: null, headline: "An answer with several parts", detail: "" };
  return { name: main.name, kind: main.kind, ...wordsFor(main, fields) };
}

function mainField(fields) {
  const first = (...kinds) => fields.find(({ kind }) => kinds.includes(kind));
  const listOf = (...kinds) => first(...kinds.map((kind) => `list-of-${kind}`));
  const numbers = fields.filter(({ name, kind }) => ["number", "integer"].includes(kind) && !PROBABILITIES.includes(name) && !isBound(name));
  const leading = LEADING.includes(fields[0]?.kind) && !PROBABILITIES.includes(fields[0].name) ? fields[0] : null;
  return listOf("box", "track", "mask", "point") ?? leading ?? first("choice", "boolean") ?? first("string", "date")
    ?? first("image", "video", "audio", "blob", "bytes", "mask", "box") ?? numbers[0] ?? first("number", "integer")
    ?? listOf("image", "numbers", "record", "texts");
}

function isBound(name) {
  return BOUNDS.flat().some((bound) => name === bound || name.endsWith(`_${bound}`) || name.startsWith(`${bound}_`));
}

function wordsFor({ name, field, kind, value }, fields) {
  const title = titleOf(name);
  const description = field.description ?? "";
  const chance = chanceOf(value, fields);
  if (kind === "boolean") return { headline: `${title}: ${value ? "yes" : "no"}`, ...chance };
  if (kind === "choice" || kind === "date") return { headline: `${title}: ${String(value).replaceAll("_", " ")}`, ...chance };
  if (kind === "string") return { headline: /^\S+$/.test(value) ? `${title}: ${value}` : value || "An empty text", ...chance };
  if (kind === "number" || kind === "integer") {
    if (PROBABILITIES.includes(name)) return { headline: `${title}: ${percent(value)}`, detail: description };
    return { headline: `${title}: ${figure(value)}`, detail: description, interval: intervalOf(name, value, fields) };
  }
  if (MEDIA.includes(kind)) return { headline: title, detail: description };
  if (kind in DRAWN_WORDS) return { headline: `${title} on the picture`, detail: description };
  const count = value.length;
  const drawn = DRAWN_WORDS[kind.replace("list-of-", "")];
  if (drawn) return foundWords(drawn, value);
  const names = namesIn(value);
  if (names) return { headline: `${title}: ${names}`, detail: description };
  const unit = kind === "list-of-numbers" ? ["value", "values"] : ["entry", "entries"];
  return { headline: `${title}: ${count} ${unit[count === 1 ? 0 : 1]}`, detail: description };
}

/** Return how likely a label is as {detail, spoken}: `spoken` names the field that says so. */
function chanceOf(label, fields) {
  const number = fields.find(({ name, kind, value }) => PROBABILITIES.includes(name) && kind === "number" && value >= 0 && value <= 1);
  if (number) {
    return { detail: likelihood(number), spoken: number.name };
  }
  const shares = fields.find(({ kind, value }) => kind === "numbers-by-name" && typeof value[String(label)] === "number");
  return { detail: shares ? `Probability ${percent(shares.value[String(label)])}` : "" };
}

/** Return {low, high, names} of a number's interval, if the prediction has one. */
export function intervalOf(name, value, fields) {
  const numbers = new Map(fields.filter(({ value: each }) => typeof each === "number").map((each) => [each.name, each.value]));
  for (const [low, high] of BOUNDS) {
    for (const form of [(bound) => bound, (bound) => `${name}_${bound}`, (bound) => `${bound}_${name}`]) {
      const [from, to] = [numbers.get(form(low)), numbers.get(form(high))];
      if (from !== undefined && to !== undefined) return { low: from, high: to, value, names: [form(low), form(high)] };
    }
  }
  return null;
}

function countsByLabel(found) {
  const counts = new Map();
  for (const { label } of found) if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]).map(([label, count]) => (count === 1 ? label : `${count} × ${label}`)).join(", ");
}

/** Whether a prediction's main field is something that a person can correct with one input. */
export function isLabel(kind, field) {
  return ["choice", "boolean", "string", "number", "integer"].includes(kind) && (kind !== "choice" || choicesOf(field).length > 1);
}

/** Say a probability with its description: "Probability of survival: 10 %". */
function likelihood({ name, field, value }) {
  const about = (field.description ?? "").replaceAll("`", "");
  if (about.toLowerCase().startsWith(name)) return `${about}: ${percent(value)}`;
  if (about.toLowerCase().startsWith("of ")) return `${titleOf(name)} ${about.charAt(0).toLowerCase()}${about.slice(1)}: ${percent(value)}`;
  return `${titleOf(name)} ${percent(value)}${about ? ` (${about})` : ""}`;
}

/** Return the first names in a list of texts or records: "Fargo, Alien and 3 more"; else "". */
function namesIn(rows) {
  const names = rows.map((each) => (typeof each === "object" ? Object.values(each ?? {}).find((value) => typeof value === "string") : each));
  if (!names.length || names.some((each) => typeof each !== "string" || !each || each.length > 60)) return "";
  const more = names.length - MOST_NAMED;
  const between = names.some((each) => each.includes(",")) ? "; " : ", ";
  return names.slice(0, MOST_NAMED).join(between) + (more > 0 ? ` and ${more} more` : "");
}

/** Count what was found; a track has an entry in each frame of a video. */
function foundWords([one, many], found) {
  const objects = [...new Map(found.map((each, place) => [each.id ?? `row ${place}`, each])).values()];
  if (!objects.length) return { headline: "Nothing found", detail: "" };
  return { headline: `${objects.length} ${objects.length === 1 ? one : many} found`, detail: countsByLabel(objects) };
}
