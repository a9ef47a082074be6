// Inputs for files: choosing, dropping and pasting; videos and other files; the hidden state.

import { objectUrl, readFile, sizeText, sniff, toBase64, toBytes } from "./bytes.js";
import { button, h } from "./dom.js";
import { titleOf } from "./schema.js";

/** Return what a media field's hint says: accepted types, most bytes, and so on. */
export function hintOf(schema, family) {
  const hint = schema["x-slipway"] ?? {};
  const accept = hint.media_types ?? (schema.contentMediaType ? [schema.contentMediaType] : family ? [`${family}/*`] : []);
  return { ...hint, accept: accept.join(","), most: hint.max_bytes ?? schema.maxLength };
}

/**
 * Return an area that takes a file by choosing, dropping or pasting, with further buttons.
 *
 * `take(bytes)` may be asynchronous, and throws an Error that says why a file does not fit.
 */
export function dropArea(name, { accept, most }, take, more = []) {
  const input = h("input", { type: "file", accept, class: "visually-hidden", "aria-label": `${titleOf(name)}: choose a file`, onchange: () => use(input.files[0]) });
  const said = h("p", { class: "said", "aria-live": "polite" });
  const choose = button("Choose a file", () => input.click(), { class: "small" });
  const element = h("div", { class: "drop", tabIndex: 0, role: "group", "aria-label": `${titleOf(name)}: drop or paste a file here` },
    input, h("div", { class: "buttons" }, choose, ...more), h("p", { class: "quiet only-wide" }, "or drop it here, or paste it"), said);
  async function use(file) {
    if (!file) return;
    said.textContent = "";
    try {
      if (most && file.size > most) throw new Error(`at most ${sizeText(most)}, this file has ${sizeText(file.size)}`);
      await take(await readFile(file));
    } catch (fault) {
      said.textContent = fault.message;
    }
    input.value = "";
  }
  element.addEventListener("dragover", (event) => { event.preventDefault(); element.classList.add("over"); });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    use(event.dataTransfer.files[0]);
  });
  element.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (file) { event.preventDefault(); use(file); }
  });
  return { element, choose, say: (text) => { said.textContent = text; } };
}

/** Return a value that holds bytes and shows them by `show(bytes, url)` in `view`. */
export function heldBytes(show) {
  let bytes = null;
  let url = null;
  async function set(content) {
    if (url) URL.revokeObjectURL(url);
    bytes = content;
    url = content ? objectUrl(content) : null;
    await show(content, url);
  }
  return {
    set,
    get bytes() { return bytes; },
    get url() { return url; },
    read() {
      if (!bytes) throw new Error("a file is needed");
      return toBase64(bytes);
    },
    fill: (text) => set(typeof text === "string" && text ? toBytes(text) : null),
  };
}

export function videoInput(name, schema, page) {
  const hint = hintOf(schema, "video");
  const player = h("video", { controls: true, muted: true, playsInline: true, hidden: true, "aria-label": titleOf(name) });
  const held = heldBytes((bytes, url) => { player.hidden = !bytes; if (url) player.src = url; });
  const area = dropArea(name, hint, held.set);
  page.videos.push({ get url() { return held.url; } });
  return { element: h("div", {}, player, area.element), read: held.read, fill: held.fill };
}

/** Return the input of any other file; a picture among them is shown. */
export function blobInput(name, schema, page) {
  const hint = hintOf(schema, "");
  const picture = h("img", { alt: `The file for ${titleOf(name)}`, class: "thumbnail", hidden: true });
  const label = h("p", { class: "quiet" }, "no file yet");
  const held = heldBytes((bytes, url) => {
    const type = bytes ? sniff(bytes) : "";
    label.textContent = bytes ? `${type}, ${sizeText(bytes.length)}` : "no file yet";
    picture.hidden = !type.startsWith("image/");
    if (!picture.hidden) picture.src = url;
  });
  const area = dropArea(name, hint, held.set);
  return { element: h("div", {}, picture, area.element, label), read: held.read, fill: held.fill };
}

/** Return the field of a state: hidden, taken over from each answer, and reset by a button. */
export function stateInput(name, schema, page) {
  const said = h("span", { "aria-live": "polite" });
  const reset = button("Reset", () => page.setState(name, null), { class: "small" });
  const element = h("div", { class: "field state", "data-field": name }, h("span", {}, `${titleOf(name)}: `, said), reset);
  let state = null;
  const show = () => {
    said.textContent = state ? `${sizeText(Math.round(state.length * 0.75))} carried over from the last answer` : "none yet";
    reset.disabled = !state;
  };
  page.states.set(name, (text) => { state = text || null; show(); });
  show();
  return {
    name,
    element,
    fail(message) { said.textContent = message || said.textContent; },
    focus: () => reset.focus(),
    read: () => state ?? (schema.nullable ? null : undefined),
    fill: (text) => { state = text || null; show(); },
    locate: () => null,
  };
}
