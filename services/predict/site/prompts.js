// Points and boxes that the visitor sets on the record's first picture.

import { button, h } from "./dom.js";

/** Return the input of a point or box: its numbers, and a button to set it on the picture. */
export function promptOf(kind, inner, page) {
  const text = kind === "point" ? "Click on the picture" : "Drag on the picture";
  const pick = button(text, () => page.images[0]?.pick(kind, set), { class: "small", "data-pick": kind });
  const element = h("div", { class: "prompt" }, h("div", { class: "buttons" }, pick), inner.element);
  function set(value) {
    for (const [name, number] of Object.entries(value)) {
      inner.components.get(name)?.fill(Math.round(number * 10) / 10);
    }
    page.redraw();
  }
  page.prompts.add(() => (element.isConnected ? [{ kind, value: inner.read([]) }] : []));
  element.addEventListener("input", () => page.redraw());
  return { ...inner, element, fill(value) { inner.fill(value); page.redraw(); } };
}
