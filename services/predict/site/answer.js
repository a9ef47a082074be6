// Shows a prediction: its sentence, then each field as what it is.

import { mediaTypeOf, objectUrl, shortened, sizeText, sniff, toBytes } from "./bytes.js";
import { inline } from "./card.js";
import { bars, curve, interval, shown, table } from "./charts.js";
import { h } from "./dom.js";
import { paint } from "./image_field.js";
import { fieldsOf, kindOf, titleOf } from "./schema.js";
import { drawShapes, nameOf } from "./shapes.js";
import { sentenceOf } from "./sentence.js";

const DRAWN = new Set(["box", "point", "track", "mask"]);
const MEDIA = new Set(["image", "audio", "video", "blob", "bytes"]);

/**
 * Return {element, sentence} for a prediction.
 *
 * `input` holds the record's first picture (`bitmap`) or video (`videoUrl`), to draw over.
 */
export function answerOf(schema, root, prediction, input) {
  const sentence = sentenceOf(schema, root, prediction);
  const fields = [...fieldsOf(schema, root)].map(([name, field]) => ({ name, field, kind: kindOf(field, root), value: prediction[name] }))
    .filter(({ kind, value }) => value !== undefined && value !== null && kind !== "state");
  const element = h("div", { class: "answer" },
    h("p", { class: sentence.kind === "string" && sentence.headline.length > 80 ? "headline text" : "headline" }, sentence.headline),
    sentence.detail ? h("p", { class: "detail" }, sentence.detail) : null,
    sentence.interval ? interval(sentence.interval) : null);
  const shapes = fields.flatMap(shapesOf);
  const drawn = input?.videoUrl ? drawnOverVideo(shapes, input.videoUrl) : drawnOver(shapes, input);
  if (drawn) element.append(drawn);
  const facts = h("dl", { class: "facts" });
  const used = new Set([...(sentence.interval?.names ?? []), sentence.spoken]);
  for (const each of fields) {
    if (drawn && isDrawn(each.kind) || used.has(each.name)) continue;
    if (each.name === sentence.name && !MEDIA.has(each.kind) && !each.kind.startsWith("list-of-")) continue;
    const view = viewOf(each, { fields, sentence, input: drawn ? null : input, used });
    if (view instanceof Node) element.append(each.name === sentence.name ? h("div", { class: "part" }, view) : section(each, view));
    else if (view !== null) facts.append(h("div", {}, h("dt", {}, titleOf(each.name)), h("dd", {}, view, note(each))));
  }
  if (facts.children.length) element.append(facts);
  return { element, sentence };
}

function isDrawn(kind) {
  return DRAWN.has(kind) || DRAWN.has(kind.replace("list-of-", ""));
}

function note({ field }) {
  return field.description ? h("span", { class: "quiet" }, inline(field.description)) : null;
}

function section({ name, field }, view) {
  return h("section", { class: "part" }, h("h3", {}, titleOf(name)), field.description ? h("p", { class: "hint" }, inline(field.description)) : null, view);
}

/** Return an element for a larger value, or a text for a small one. */
function viewOf({ name, kind, value }, { fields, sentence, input, used }) {
  // The sentence says that nothing was found.
  if (Array.isArray(value) && !value.length) return name === sentence.name ? null : "none";
  if (kind === "image") return pictures([value], name, input);
  if (kind === "list-of-image") return pictures(value, name, null);
  if (kind === "audio" || kind === "video") return player(kind, value, name);
  if (kind === "blob" || kind === "bytes") return mediaTypeOf(value)?.startsWith("image/") ? pictures([value], name, input) : download(value, name);
  if (kind === "numbers-by-name") return bars(value, { chosen: mainValue(fields, sentence) });
  if (kind === "list-of-numbers" && value.length > 2) return band(name, value, fields, used);
  if (kind === "list-of-record" && value.length) return table(value.map((each) => shortened(each)));
  if (kind === "list-of-texts") return value.length ? value.join(", ") : "none";
  if (["number", "integer", "boolean", "choice", "string", "date"].includes(kind)) return shown(value);
  return h("pre", { tabIndex: 0 }, JSON.stringify(shortened(value), null, 2));
}

function mainValue(fields, sentence) {
  return fields.find(({ name }) => name === sentence.name)?.value;
}

/** Return a curve with its band, if the prediction has lists of equal length called low and high. */
function band(name, values, fields, used) {
  const list = (bound) => fields.find((each) => each.kind === "list-of-numbers" && [bound, `${name}_${bound}`].includes(each.name) && each.value.length === values.length && each.name !== name);
  const [low, high] = [list("low") ?? list("lower"), list("high") ?? list("upper")];
  if (!low || !high) return curve(name, values);
  used.add(low.name).add(high.name);
  return curve(name, values, { low: low.value, high: high.value });
}

function pictures(values, name, input) {
  const row = h("div", { class: "pictures" });
  if (input?.bitmap) row.append(figureOf(canvasOf(input.bitmap, []), "sent"));
  values.forEach((value, place) => {
    const bytes = toBytes(value);
    const type = sniff(bytes, "image/png");
    const url = objectUrl(bytes, type);
    const picture = h("img", { src: url, alt: `${titleOf(name)} of the answer` });
    const link = h("a", { href: url, download: `${name}.${type.split("/")[1]}` }, `save, ${sizeText(bytes.length)}`);
    row.append(figureOf(picture, values.length > 1 ? `${place + 1}` : "answer", link));
  });
  return row;
}

function figureOf(content, caption, more) {
  return h("figure", {}, content, h("figcaption", {}, caption, more ? " · " : null, more));
}

function player(kind, value, name) {
  const bytes = toBytes(value);
  const type = sniff(bytes, kind === "audio" ? "audio/wav" : "video/mp4");
  const url = objectUrl(bytes, type);
  const link = h("a", { href: url, download: `${name}.${type.split("/")[1]}` }, `save, ${sizeText(bytes.length)}`);
  return h("div", {}, h(kind, { controls: true, src: url, "aria-label": titleOf(name) }), h("p", {}, link));
}

function download(value, name) {
  const bytes = toBytes(value);
  const type = sniff(bytes);
  return h("a", { class: "button", href: objectUrl(bytes, type), download: `${name}.${type.split("/")[1].replace("octet-stream", "bin")}` }, `Save ${titleOf(name).toLowerCase()}, ${sizeText(bytes.length)}`);
}

/** Return the shapes of a field as {kind, value}. */
export function shapesOf({ kind, value }) {
  if (DRAWN.has(kind)) return [{ kind, value }];
  const inner = kind.replace("list-of-", "");
  return DRAWN.has(inner) && inner !== kind ? value.map((each) => ({ kind: inner, value: each })) : [];
}

function canvasOf(bitmap, shapes, label = "The picture that was sent") {
  const canvas = h("canvas", { class: "picture", role: "img", "aria-label": label });
  paint(canvas, bitmap, shapes);
  return canvas;
}

/** Return the record's picture with the shapes over it, and their list for those who cannot see it. */
function drawnOver(shapes, input) {
  if (!shapes.length || !input?.bitmap) return null;
  const names = shapes.map(({ value }) => nameOf(value)).filter(Boolean);
  return h("figure", { class: "drawn" }, canvasOf(input.bitmap, shapes, `The picture with ${shapes.length} shapes: ${names.join(", ")}`),
    names.length ? h("figcaption", { class: "quiet" }, names.slice(0, 20).join(", "), names.length > 20 ? ` and ${names.length - 20} more` : null) : null);
}

/**
 * Return the record's video with its tracks over it while it plays.
 *
 * A browser does not tell a video's frame rate: the last frame number stands for its end.
 */
function drawnOverVideo(shapes, url) {
  if (!shapes.length) return null;
  const last = Math.max(...shapes.map(({ value }) => value.frame ?? 0));
  const canvas = h("canvas", { class: "over-video", "aria-hidden": "true" });
  const video = h("video", { src: url, controls: true, muted: true, playsInline: true, "aria-label": "The video that was sent, with what was found" });
  const redraw = () => {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const frame = Math.round((video.currentTime / (video.duration || 1)) * last);
    drawShapes(canvas.getContext("2d"), shapes.filter(({ value }) => (value.frame ?? frame) === frame), 1);
    if (!video.paused && canvas.isConnected) requestAnimationFrame(redraw);
  };
  for (const event of ["loadeddata", "play", "seeked", "pause"]) video.addEventListener(event, redraw);
  const ids = new Set(shapes.map(({ value }) => value.id).filter((each) => each !== undefined));
  return h("figure", { class: "drawn" }, h("div", { class: "video-frame" }, video, canvas),
    h("figcaption", { class: "quiet" }, ids.size ? `${ids.size} ${ids.size === 1 ? "track" : "tracks"} over ${last + 1} frames` : `${shapes.length} shapes`));
}
