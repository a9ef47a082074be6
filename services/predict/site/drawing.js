// A square to draw in, by mouse, pen or finger.

import { button, h } from "./dom.js";

const SIDE = 280;
const STROKE = 20;

/** Return a drawing pad; `changed(blob)` gets the picture after every stroke, as a PNG. */
export function drawingPad(title, changed) {
  const canvas = h("canvas", { class: "pad", width: SIDE, height: SIDE, role: "img", "aria-label": `${title}: drawing area` });
  const dark = h("input", { type: "checkbox" });
  const element = h("div", { class: "drawing", hidden: true }, canvas,
    h("div", { class: "buttons" },
      button("Undo", undo, { class: "small" }), button("Clear", clear, { class: "small" }),
      h("label", { class: "quiet" }, dark, "dark on white")));
  let strokes = [];
  let current = null;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
  };
  function repaint() {
    const context = canvas.getContext("2d");
    context.fillStyle = dark.checked ? "#fff" : "#000";
    context.fillRect(0, 0, SIDE, SIDE);
    context.strokeStyle = dark.checked ? "#000" : "#fff";
    context.lineWidth = STROKE;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.beginPath();
      context.moveTo(...stroke[0]);
      for (const each of stroke) context.lineTo(...each);
      context.stroke();
    }
  }
  function clear() {
    strokes = [];
    repaint();
  }
  function undo() {
    strokes.pop();
    repaint();
    publish();
  }
  const publish = () => canvas.toBlob((blob) => changed(blob), "image/png");
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    current = [place(event)];
    strokes.push(current);
    repaint();
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!current) return;
    current.push(place(event));
    repaint();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (!current) return;
      current = null;
      publish();
    });
  }
  dark.addEventListener("change", () => { repaint(); if (strokes.length) publish(); });
  repaint();
  return { element, clear };
}
