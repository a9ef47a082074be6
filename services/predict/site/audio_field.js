// The input for a sound: a file, or a recording as WAV.

import { button, h } from "./dom.js";
import { dropArea, heldBytes, hintOf } from "./file_field.js";
import { titleOf } from "./schema.js";

const LONGEST_SECONDS = 60;

export function audioInput(name, schema) {
  const hint = hintOf(schema, "audio");
  const player = h("audio", { controls: true, hidden: true, "aria-label": titleOf(name) });
  const held = heldBytes((bytes, url) => { player.hidden = !bytes; if (url) player.src = url; });
  const more = [];
  if (hint.capture) {
    const available = Boolean(navigator.mediaDevices?.getUserMedia);
    more.push(button("Record", toggle, { class: "small", disabled: !available, title: available ? "" : "the browser offers the microphone on https and localhost only" }));
  }
  const area = dropArea(name, hint, held.set, more);
  let recording = null;

  async function toggle(event) {
    const own = event.currentTarget;
    if (recording) { recording.stop(); return; }
    try {
      recording = await record(hint.sample_rate, hint.max_seconds ?? LONGEST_SECONDS, area.say);
    } catch {
      area.say("the microphone cannot be used: allow it in the browser, or choose a file");
      return;
    }
    own.textContent = "Stop recording";
    own.classList.add("recording");
    await held.set(await recording.done);
    recording = null;
    own.textContent = "Record";
    own.classList.remove("recording");
  }
  return { element: h("div", {}, player, area.element), read: held.read, fill: held.fill };
}

/** Start to record; `stop()` ends it, and `done` resolves to a WAV file's bytes. */
async function record(sampleRate, longest, say) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext(sampleRate ? { sampleRate } : {});
  await context.audioWorklet.addModule(new URL("recorder_worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "recorder");
  context.createMediaStreamSource(stream).connect(node);
  const blocks = [];
  let length = 0;
  let stop;
  const done = new Promise((resolve) => {
    stop = () => {
      stream.getTracks().forEach((track) => track.stop());
      context.close();
      say("");
      resolve(wav(blocks, length, context.sampleRate));
    };
    node.port.onmessage = ({ data }) => {
      blocks.push(data);
      length += data.length;
      const seconds = length / context.sampleRate;
      say(`recording, ${seconds.toFixed(0)} s`);
      if (seconds >= longest) stop();
    };
  });
  return { stop, done };
}

/** Return the bytes of a WAV file: one channel of 16 bits. */
export function wav(blocks, length, sampleRate) {
  const bytes = new Uint8Array(44 + length * 2);
  const view = new DataView(bytes.buffer);
  const text = (at, letters) => [...letters].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + length * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, length * 2, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.max(-1, Math.min(1, sample)) * 32767, true);
      at += 2;
    }
  }
  return bytes;
}
