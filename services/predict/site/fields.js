// Inputs for single values. Each has `element`, `read(faults)`, `fill(value)` and `fail(message)`.

import { inline } from "./card.js";
import { h, uniqueId } from "./dom.js";
import { choicesOf, limitsOf, rulesOf, titleOf } from "./schema.js";

const SLIDER_STEPS = 200;
const LONG_TEXT = 120;

/**
 * Return a labelled field around an input.
 *
 * `value.read()` returns what was entered, or throws an Error that says what is wrong.
 * `group` is for several inputs, which a legend names instead of a label.
 */
export function field(name, schema, value, { required, group = false, rules = rulesOf(schema) }) {
  const own = uniqueId("field");
  const error = h("p", { class: "error", id: `${own}-error`, hidden: true });
  const hint = schema.description ? h("p", { class: "hint", id: `${own}-hint` }, inline(schema.description)) : null;
  const title = titleOf(name);
  const toggle = schema.nullable ? notGiven(title, (given) => { body.hidden = !given; }) : null;
  const target = value.input;
  if (target) {
    target.id = own;
    target.setAttribute("aria-describedby", [hint?.id, error.id].filter(Boolean).join(" "));
    if (required && !schema.nullable) target.required = true;
  }
  const caption = group ? h("legend", {}, title) : h("label", { for: own }, title);
  const head = h("div", { class: "field-head" }, group ? null : caption, rules ? h("span", { class: "rules" }, rules) : null, toggle?.element);
  const body = h("div", { class: "field-body" }, value.element);
  const element = h(group ? "fieldset" : "div", { class: "field", "data-field": name }, group ? caption : null, head, hint, body, error);
  function fail(message) {
    error.textContent = message;
    error.hidden = !message;
    element.classList.toggle("failed", Boolean(message));
    target?.setAttribute("aria-invalid", String(Boolean(message)));
  }
  return {
    name,
    element,
    fail,
    focus: () => (target ?? element.querySelector("input, select, textarea, button"))?.focus(),
    read(faults) {
      fail("");
      if (toggle && !toggle.given) return null;
      try {
        return value.read(faults);
      } catch (fault) {
        faults.push({ component: this, message: fault.message });
        fail(fault.message);
        return undefined;
      }
    },
    fill(content) {
      fail("");
      if (toggle) toggle.given = content !== null && content !== undefined;
      if (content !== null && content !== undefined) value.fill(content);
    },
    locate: (path) => value.locate?.(path) ?? null,
  };
}

/** Return a box to tick when an optional field is not given. */
function notGiven(title, onchange) {
  const box = h("input", { type: "checkbox", checked: true, "aria-label": `${title} is not given`, onchange: () => onchange(!box.checked) });
  queueMicrotask(() => onchange(!box.checked));
  return {
    element: h("label", { class: "not-given" }, box, "not given"),
    get given() { return !box.checked; },
    set given(yes) { box.checked = !yes; onchange(yes); },
  };
}

/** Return the input for a number; with both bounds also a slider that moves along. */
export function numberInput(name, schema) {
  const { low, high } = limitsOf(schema);
  const whole = schema.type === "integer";
  const input = h("input", { type: "number", inputMode: whole ? "numeric" : "decimal", step: whole ? "1" : "any", min: low, max: high, autocomplete: "off" });
  const bounded = low !== undefined && high !== undefined;
  const slider = bounded
    ? h("input", { type: "range", min: low, max: high, step: whole ? 1 : (high - low) / SLIDER_STEPS, "aria-label": `${titleOf(name)}, slider` })
    : null;
  const follow = () => { if (slider && input.value !== "") slider.value = input.value; };
  input.addEventListener("input", follow);
  slider?.addEventListener("input", () => { input.value = whole ? slider.value : String(Number(Number(slider.value).toPrecision(6))); });
  return {
    input,
    element: slider ? h("div", { class: "number" }, input, slider) : input,
    read() {
      if (input.value === "") throw new Error(input.validity.badInput ? "is not a number" : "a number is needed");
      return Number(input.value);
    },
    fill(value) {
      input.value = value;
      follow();
    },
  };
}

export function booleanInput() {
  const input = h("input", { type: "checkbox", class: "switch" });
  const said = h("span", { "aria-hidden": "true" }, "no");
  const say = () => { said.textContent = input.checked ? "yes" : "no"; };
  input.addEventListener("change", say);
  return {
    input,
    element: h("div", { class: "yes-no" }, input, said),
    read: () => input.checked,
    fill(value) { input.checked = Boolean(value); say(); },
  };
}

/** Return a list to choose from; the texts that the schema names are its options. */
export function choiceInput(schema) {
  const options = choicesOf(schema);
  const input = h("select", {}, options.map((each, place) => h("option", { value: String(place) }, String(each).replaceAll("_", " "))));
  return {
    input,
    element: input,
    read: () => options[Number(input.value)],
    fill(value) {
      const place = options.indexOf(value);
      if (place >= 0) input.value = String(place);
    },
  };
}

export function textInput(schema) {
  const long = (schema.maxLength ?? 0) > LONG_TEXT && !schema.pattern;
  const input = long
    ? h("textarea", { rows: schema.maxLength > 1000 ? 5 : 2 })
    : h("input", { type: "text", autocomplete: "off", pattern: undefined });
  if (schema.maxLength) input.maxLength = schema.maxLength;
  return {
    input,
    element: input,
    read: () => input.value,
    fill(value) { input.value = value; },
  };
}

export function dateInput() {
  const input = h("input", { type: "date" });
  return {
    input,
    element: input,
    read() {
      if (!input.value) throw new Error("a date is needed");
      return input.value;
    },
    fill(value) { input.value = value; },
  };
}

/** Return a text area for a list of numbers, separated by spaces, commas or lines. */
export function numbersInput() {
  const input = h("textarea", { rows: 3, inputMode: "decimal", class: "code" });
  return {
    input,
    element: input,
    read() {
      const words = input.value.split(/[\s,;]+/).filter(Boolean);
      const wrong = words.find((each) => !Number.isFinite(Number(each)));
      if (wrong !== undefined) throw new Error(`${wrong} is not a number`);
      return words.map(Number);
    },
    fill(value) { input.value = value.join(", "); },
  };
}

/** Return a text area for a list of texts, one a line. */
export function textsInput() {
  const input = h("textarea", { rows: 3, placeholder: "one a line" });
  return {
    input,
    element: input,
    read: () => input.value.split("\n").filter((each) => each.trim() !== ""),
    fill(value) { input.value = value.join("\n"); },
  };
}

/** Return a text area for any JSON value. */
export function jsonInput() {
  const input = h("textarea", { rows: 5, class: "code", spellcheck: false });
  return {
    input,
    element: input,
    read() {
      try {
        return JSON.parse(input.value);
      } catch {
        throw new Error("is not valid JSON");
      }
    },
    fill(value) { input.value = JSON.stringify(value, null, 2); },
  };
}
