// Why the model predicts this: fields as signed bars, a picture with its heat map, colored words.

import { json } from "./api.js";
import { shown, signedBars } from "./charts.js";
import { button, h } from "./dom.js";
import { pictureExplanation, textExplanation } from "./parts.js";
import { titleOf } from "./schema.js";
import { figure, percent } from "./sentence.js";

const MOST = 12;

/** Return a button that explains the prediction for the record below itself. */
export function whyButton(path, record) {
  const place = h("div", { "aria-live": "polite" });
  const ask = button("Why?", async () => {
    ask.disabled = true;
    place.replaceChildren(h("p", { class: "quiet" }, "Predicting variants of this record..."));
    try {
      const { explanations } = await json(path, { method: "POST", body: JSON.stringify(record) });
      place.replaceChildren(explanationOf(explanations[0], record));
      ask.hidden = true;
    } catch (refusal) {
      place.replaceChildren(h("p", { class: "error" }, refusal.message));
      ask.disabled = false;
    }
  }, { class: "small" });
  return { button: ask, place };
}

function explanationOf(explanation, record) {
  if (explanation.cells) return pictureExplanation(explanation, record);
  if (explanation.spans) return textExplanation(explanation, record);
  const shares = [explanation.base, explanation.value].every((each) => each >= 0 && each <= 1);
  const number = shares ? percent : figure;
  const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`;
  const entries = Object.entries(explanation.contributions ?? {})
    .map(([name, value]) => ({ name, value, given: givenText(record[name]), text: signed(value) }))
    .sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
  const rest = entries.slice(MOST).reduce((sum, { value }) => sum + value, 0);
  const rows = entries.slice(0, MOST);
  if (entries.length > MOST) rows.push({ name: `${entries.length - MOST} other fields`, value: rest, text: signed(rest) });
  return h("section", { class: "part" },
    h("h3", {}, `${titleOf(explanation.explained)} ${number(explanation.value)}, by field`),
    h("p", { class: "hint" }, `It is ${number(explanation.base)} on average over ${explanation.references ?? "the"} reference records. For this record:`),
    rows.length ? signedBars(rows) : null);
}

function givenText(value) {
  const text = shown(value);
  return text.length > 24 ? `${text.slice(0, 24)}...` : text;
}
