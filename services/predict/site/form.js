// The form of a record, made from its JSON schema: fields in its order, records in records, lists.

import { audioInput } from "./audio_field.js";
import { button, h } from "./dom.js";
import * as fields from "./fields.js";
import { field } from "./fields.js";
import { blobInput, stateInput, videoInput } from "./file_field.js";
import { imageInput } from "./image_field.js";
import { promptOf } from "./prompts.js";
import { fieldsOf, kindOf, open } from "./schema.js";

// Longer lists of records are edited as JSON: hundreds of inputs would slow the page down.
const MOST_ROWS = 12;
const SIMPLE = {
  boolean: fields.booleanInput,
  choice: fields.choiceInput,
  date: fields.dateInput,
  string: fields.textInput,
  "list-of-numbers": fields.numbersInput,
  "list-of-texts": fields.textsInput,
};
const MEDIA = { image: imageInput, audio: audioInput, video: videoInput, blob: blobInput, bytes: blobInput };
const ROWS = new Set(["record", "point", "box", "image", "audio", "video", "blob", "bytes"]);

/**
 * Return the form of a record with `element`, `read(faults)`, `fill(record)` and `locate(path)`.
 *
 * `page` is what the fields share: the pictures, the prompts on them, and the carried state.
 */
export function recordForm(schema, page) {
  const required = new Set(schema.required ?? []);
  const components = new Map();
  for (const [name, inner] of fieldsOf(schema, page.root)) {
    components.set(name, component(name, inner, page, required.has(name)));
  }
  return {
    element: h("div", { class: "record" }, [...components.values()].map((each) => each.element)),
    components,
    read(faults) {
      const record = {};
      for (const [name, each] of components) {
        const value = each.read(faults);
        if (value !== undefined && !(value === null && !required.has(name))) record[name] = value;
      }
      return record;
    },
    fill(record) {
      for (const [name, each] of components) each.fill(record[name]);
    },
    locate(path) {
      const own = components.get(path[0]);
      return own ? (own.locate(path.slice(1)) ?? own) : null;
    },
  };
}

/** Return the labelled component of one field of a record. */
function component(name, schema, page, required) {
  const kind = kindOf(schema, page.root);
  if (kind === "state") return stateInput(name, schema, page);
  const options = { required };
  let value;
  if (kind === "number" || kind === "integer") value = fields.numberInput(name, schema);
  else if (kind in SIMPLE) value = SIMPLE[kind](schema);
  else if (kind in MEDIA) value = MEDIA[kind](name, schema, page);
  else if (kind === "record") value = nested(schema, page);
  else if (kind === "point" || kind === "box") value = promptOf(kind, nested(requiredPart(schema), page), page);
  else if (ROWS.has(kind.replace("list-of-", ""))) value = rows(name, schema, page);
  else value = fields.jsonInput();
  options.group = !value.input;
  const made = field(name, schema, value, options);
  if (schema.default !== undefined && schema.default !== null) made.fill(schema.default);
  return made;
}

/** Return the record without its optional fields: the label and score of a box are no prompt. */
function requiredPart(schema) {
  const names = new Set(schema.required ?? []);
  return { ...schema, properties: Object.fromEntries(Object.entries(schema.properties).filter(([name]) => names.has(name))) };
}

function nested(schema, page) {
  const inner = recordForm(schema, page);
  return { ...inner, element: h("div", { class: "nested" }, inner.element) };
}

/** Return an input for a list whose rows are records or files: rows are added and removed. */
function rows(name, schema, page) {
  const item = { ...open(schema.items, page.root), description: undefined };
  const kind = kindOf(item, page.root);
  const list = h("ol", { class: "rows" });
  const asJson = fields.jsonInput();
  asJson.input.setAttribute("aria-label", `${name} as JSON`);
  let members = [];
  let long = false;
  const add = button("Add a row", () => append().focus(), { class: "small" });
  const onPicture = kind === "point" || kind === "box"
    ? button(kind === "point" ? "Add by clicking on the picture" : "Add by dragging on the picture", () => append().pick(), { class: "small" })
    : null;
  const element = h("div", {}, list, asJson.element, h("div", { class: "buttons" }, onPicture, add));
  asJson.element.hidden = true;

  function append(value) {
    const member = component(`${members.length + 1}`, item, page, true);
    const line = h("li", {}, member.element, button("Remove", () => remove(member), { class: "small", "aria-label": `Remove row ${members.length + 1}` }));
    member.line = line;
    member.pick = () => line.querySelector("[data-pick]")?.click();
    if (value !== undefined) member.fill(value);
    members.push(member);
    list.append(line);
    return member;
  }
  function remove(member) {
    members = members.filter((each) => each !== member);
    member.line.remove();
    page.redraw();
    add.focus();
  }
  function show(value) {
    long = value.length > MOST_ROWS && kind === "record";
    list.hidden = add.hidden = long;
    asJson.element.hidden = !long;
    members = [];
    list.replaceChildren();
    if (long) asJson.fill(value);
    else value.forEach((each) => append(each));
    page.redraw();
  }
  return {
    element,
    read: (faults) => (long ? asJson.read() : members.map((each) => each.read(faults)).filter((each) => each !== undefined)),
    fill: show,
    locate: ([place, ...rest]) => (members[place] ? (members[place].locate(rest) ?? members[place]) : null),
  };
}
