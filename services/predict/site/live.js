// A live camera: one request for each frame, the state carried from one to the next.

import { json } from "./api.js";
import { shapesOf } from "./answer.js";
import { frameOf, openCamera } from "./camera.js";
import { readFile, toBase64, toBytes } from "./bytes.js";
import { button, h } from "./dom.js";
import { paint } from "./image_field.js";
import { fieldsOf, kindOf } from "./schema.js";
import { sentenceOf } from "./sentence.js";

const LONGEST_SIDE = 640;

/**
 * Return a button that starts and stops the camera, and where its pictures are shown.
 *
 * `record()` returns the other fields, `carry(prediction)` keeps the state of an answer.
 */
export function liveButton({ description, imageField, record, carry }) {
  const canvas = h("canvas", { class: "picture", role: "img", "aria-label": "The camera's picture with the answer" });
  const said = h("p", { class: "quiet" });
  const place = h("div", { hidden: true }, canvas, said);
  let running = false;

  async function run() {
    let camera;
    try {
      camera = await openCamera();
    } catch {
      place.hidden = false;
      said.textContent = "The camera cannot be used: allow it in the browser.";
      return;
    }
    running = true;
    toggle.textContent = "Stop the camera";
    place.hidden = false;
    const times = [];
    try {
      while (running) {
        const prediction = await predict(camera.video);
        times.push(performance.now());
        if (times.length > 10) times.shift();
        const rate = times.length > 1 ? ((times.length - 1) * 1000) / (times.at(-1) - times[0]) : 0;
        said.textContent = `${rate.toFixed(1)} frames a second. ${sentenceOf(description.output, description.output, prediction).headline}`;
      }
    } catch (refusal) {
      said.textContent = refusal.message;
    }
    camera.close();
    running = false;
    toggle.textContent = "Use the camera live";
  }
  async function predict(video) {
    const frame = await frameOf(video, LONGEST_SIDE);
    const bytes = await readFile(frame);
    const body = JSON.stringify({ ...record(), [imageField]: toBase64(bytes) });
    const { predictions } = await json(description.links.predict, { method: "POST", body });
    carry(predictions[0]);
    const fields = [...fieldsOf(description.output, description.output)]
      .map(([name, field]) => ({ kind: kindOf(field, description.output), value: predictions[0][name] }))
      .filter(({ value }) => value);
    const picture = fields.find(({ kind }) => kind === "image");
    const shown = picture ? new Blob([toBytes(picture.value)]) : frame;
    paint(canvas, await createImageBitmap(shown), fields.flatMap(shapesOf));
    return predictions[0];
  }
  const toggle = button("Use the camera live", () => { if (running) running = false; else run(); }, { class: "small" });
  return { button: toggle, place };
}
