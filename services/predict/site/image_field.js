// The input for a picture: a file, a drop, a paste, the camera, or a drawing.

import { readFile, toBase64, toBytes } from "./bytes.js";
import { cameraAvailable, takePicture } from "./camera.js";
import { button, h } from "./dom.js";
import { drawingPad } from "./drawing.js";
import { dropArea, hintOf } from "./file_field.js";
import { titleOf } from "./schema.js";
import { drawShapes } from "./shapes.js";

export function imageInput(name, schema, page) {
  const hint = hintOf(schema, "image");
  const title = titleOf(name);
  const canvas = h("canvas", { class: "picture", role: "img", "aria-label": `${title}: no picture yet` });
  const frame = h("div", { class: "preview", hidden: true }, canvas);
  let bytes = null;
  let bitmap = null;
  let picking = null;

  async function take(content) {
    try {
      // As models see it: turned upright by its EXIF orientation.
      bitmap = await createImageBitmap(new Blob([content]), { imageOrientation: "from-image" });
    } catch {
      throw new Error("is not a picture that this browser can read");
    }
    bytes = content;
    canvas.setAttribute("aria-label", `${title}: a picture of ${bitmap.width} by ${bitmap.height} pixels`);
    frame.hidden = false;
    redraw();
  }
  function redraw(extra = []) {
    if (!bitmap) return;
    const shapes = page.images[0] === own ? [...page.promptShapes(), ...extra] : extra;
    paint(canvas, bitmap, shapes);
  }

  const more = [];
  if (hint.capture) {
    more.push(button("Camera", async () => {
      const taken = await takePicture(area.say);
      if (taken) await take(await readFile(taken));
    }, { class: "small", disabled: !cameraAvailable(), title: cameraAvailable() ? "" : "the browser offers the camera on https and localhost only" }));
  }
  let pad = null;
  if (hint.draw) {
    pad = drawingPad(title, async (blob) => { await take(await readFile(blob)); });
    more.push(button("Draw", () => { pad.element.hidden = !pad.element.hidden; pad.clear(); }, { class: "small" }));
  }
  const area = dropArea(name, { ...hint, accept: hint.accept || "image/*" }, take, more);
  const element = h("div", {}, frame, pad?.element, area.element);

  canvas.addEventListener("pointerdown", (event) => picking?.down(event));
  canvas.addEventListener("pointermove", (event) => picking?.move(event));
  canvas.addEventListener("pointerup", (event) => picking?.up(event));
  canvas.addEventListener("keydown", (event) => { if (event.key === "Escape") endPick(); });

  function endPick() {
    picking = null;
    canvas.classList.remove("picking");
    area.say("");
    redraw();
  }
  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * bitmap.width, y: ((event.clientY - box.top) / box.height) * bitmap.height };
  }
  /** Let the visitor click a point or drag a box; `set` gets it in pixels of the upright picture. */
  function pick(kind, set) {
    if (!bitmap) { area.say("choose a picture first"); return; }
    canvas.classList.add("picking");
    area.say(kind === "point" ? "Click on the picture." : "Drag a box on the picture.");
    let start = null;
    const between = (end) => ({ x1: Math.min(start.x, end.x), y1: Math.min(start.y, end.y), x2: Math.max(start.x, end.x), y2: Math.max(start.y, end.y) });
    picking = {
      down(event) {
        start = place(event);
        canvas.setPointerCapture(event.pointerId);
        event.preventDefault();
      },
      move(event) {
        if (start && kind === "box") redraw([{ kind, value: between(place(event)) }]);
      },
      up(event) {
        if (!start) return;
        set(kind === "point" ? place(event) : between(place(event)));
        endPick();
      },
    };
  }
  const own = {
    pick,
    redraw,
    take,
    get bytes() { return bytes; },
    get bitmap() { return bitmap; },
    capture: Boolean(hint.capture),
  };
  page.images.push(own);
  return {
    element,
    read() {
      if (!bytes) throw new Error("a picture is needed");
      return toBase64(bytes);
    },
    fill(text) {
      if (typeof text === "string" && text) page.wait(take(toBytes(text)).catch((fault) => area.say(fault.message)));
    },
  };
}

/** Paint a picture with shapes over it; small pictures keep their square pixels. */
export function paint(canvas, bitmap, shapes) {
  const scale = Math.max(1, Math.min(16, Math.ceil(480 / Math.max(bitmap.width, bitmap.height))));
  canvas.width = bitmap.width * scale;
  canvas.height = bitmap.height * scale;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = Math.max(bitmap.width, bitmap.height) >= 100;
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  drawShapes(context, shapes, scale);
}
