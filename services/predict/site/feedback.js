// Feedback: confirm the predicted label, or say what is right.

import { call } from "./api.js";
import { button, h } from "./dom.js";
import * as fields from "./fields.js";
import { titleOf } from "./schema.js";

const INPUTS = { choice: fields.choiceInput, boolean: fields.booleanInput, string: fields.textInput };

/** Return the question whether a prediction's main field is right; the label becomes its ground truth. */
export function feedbackOn({ id, name, kind, field, predicted }) {
  const said = h("span", { class: "quiet", role: "status" });
  const right = INPUTS[kind]?.(field) ?? fields.numberInput(name, field);
  const label = h("label", { for: "right-label" }, `What is right? ${titleOf(name)}`);
  right.input.id = "right-label";
  right.fill(predicted);
  const correction = h("form", { class: "correction", hidden: true, onsubmit: (event) => {
    event.preventDefault();
    try {
      send(right.read());
    } catch (fault) {
      said.textContent = fault.message;
    }
  } }, label, right.element, h("button", { class: "small" }, "Send"));

  async function send(value) {
    try {
      await call("v1/feedback", { method: "POST", body: JSON.stringify({ id, row: 0, label: { [name]: value } }) });
      correction.hidden = true;
      said.textContent = "Thank you, it is on record with this prediction.";
    } catch (refusal) {
      said.textContent = refusal.message;
    }
  }
  const up = button("Yes", () => send(predicted), { class: "small", "aria-label": "Yes, the prediction is right" });
  const down = button("No", () => { correction.hidden = false; right.input.focus(); }, { class: "small", "aria-label": "No, say what is right" });
  return h("div", { class: "feedback" }, h("span", {}, "Is that right?"), up, down, said, correction);
}
