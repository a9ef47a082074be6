// Run a classifier of pictures in this browser, with the registered graph and ONNX Runtime.

import { address, call } from "./api.js";
import { toBytes } from "./bytes.js";
import { bars } from "./charts.js";
import { button, h } from "./dom.js";
import { prepare } from "./pixels.js";
import { percent } from "./sentence.js";

const RUNS = 5;
let sessions = null;

/** Return a button that runs the graph here, and compares with what the server predicted. */
export function browserButton(graph, links, record, prediction) {
  const place = h("div", { "aria-live": "polite" });
  const run = button("Run in this browser", async () => {
    run.disabled = true;
    place.replaceChildren(h("p", { class: "quiet" }, "Loading ONNX Runtime (14 MB, once) and the model..."));
    try {
      place.replaceChildren(comparison(await classify(graph, links, record[graph.field]), graph, prediction));
      run.hidden = true;
    } catch (fault) {
      place.replaceChildren(h("p", { class: "error" }, `It does not run here: ${fault.message}`));
      run.disabled = false;
    }
  }, { class: "small" });
  return { button: run, place };
}

async function classify(graph, links, text) {
  sessions ??= open(graph, links);
  sessions.catch(() => { sessions = null; });
  const { ort, session, sha256 } = await sessions;
  const bitmap = await createImageBitmap(new Blob([toBytes(text)]), { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const times = [];
  let outputs;
  for (let run = 0; run < RUNS; run += 1) {
    const started = performance.now();
    const pixels = prepare(bitmap, graph);
    const channels = graph.mode === "L" ? 1 : 3;
    outputs = await session.run({ [graph.input]: new ort.Tensor("float32", pixels, [1, channels, graph.height, graph.width]) });
    times.push(performance.now() - started);
  }
  return { probabilities: [...outputs[graph.output].data], milliseconds: Math.min(...times), sha256 };
}

/** Return the runtime and the session. One thread: several would need headers of isolation. */
async function open(graph, links) {
  const ort = await import(address(`${links.runtime}ort.wasm.min.mjs`).href);
  ort.env.wasm.wasmPaths = address(links.runtime).href;
  ort.env.wasm.numThreads = 1;
  const bytes = await (await call(links.graph)).arrayBuffer();
  const sha256 = await digest(bytes);
  if (sha256 !== null && sha256 !== graph.sha256) throw new Error("the graph is not the registered one; load the page again");
  return { ort, session: await ort.InferenceSession.create(new Uint8Array(bytes)), sha256 };
}

/** Return the SHA-256 in hexadecimal; browsers offer it only over HTTPS and on this machine. */
async function digest(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((each) => each.toString(16).padStart(2, "0")).join("");
}

function comparison({ probabilities, milliseconds, sha256 }, { labels, bytes }, prediction) {
  const table = Object.fromEntries(labels.map((label, place) => [label, probabilities[place]]));
  const label = labels[probabilities.indexOf(Math.max(...probabilities))];
  const differences = labels.map((each) => Math.abs(table[each] - prediction.probabilities[each]));
  const largest = Math.max(...differences);
  const same = label === prediction.label ? "The same label as the server's." : `The server says ${prediction.label}.`;
  const facts = [`${milliseconds.toFixed(1)} ms`, `${Math.round(bytes / 1000).toLocaleString("en")} kB`, sha256 ? `sha256 ${sha256.slice(0, 12)}` : null];
  return h("section", { class: "part in-browser", "data-difference": String(largest) },
    h("h3", {}, `In this browser: ${label}, ${percent(table[label])}`),
    bars(table, { chosen: label }),
    h("p", { class: "hint" }, `${same} The largest difference between two probabilities is ${largest === 0 ? "0" : largest.toExponential(1)}.`),
    h("p", { class: "meta" }, facts.filter(Boolean).map((each) => h("span", {}, each))));
}
