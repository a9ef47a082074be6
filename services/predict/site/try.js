// The page to try a model, made from its schema alone.

import { answerOf } from "./answer.js";
import { address, call, json, onSignIn, ROOT, signedIn, stream } from "./api.js";
import { shortened } from "./bytes.js";
import { browserButton } from "./browser_run.js";
import { cameraAvailable } from "./camera.js";
import { markdown } from "./card.js";
import { button, copyButton, h, tabs } from "./dom.js";
import { feedbackOn } from "./feedback.js";
import { recordForm } from "./form.js";
import { refusalNotice, showHeader } from "./header.js";
import { liveButton } from "./live.js";
import { fieldsOf, kindOf, open, titleOf } from "./schema.js";
import { isLabel } from "./sentence.js";
import { snippets } from "./snippets.js";
import { whyButton } from "./why.js";

const LONG_TEXT = 400;
const SLOW_SECONDS = 1;
// A server that has just started loads its models for some seconds.
const RETRY_MILLISECONDS = 3000;
const main = document.getElementById("main");
const name = decodeURIComponent(location.href.replace(ROOT.href, "").split(/[?#]/)[0].split("/")[1]);

async function show() {
  let description;
  try {
    description = await json(`v1/models/${encodeURIComponent(name)}/schema`);
  } catch (refusal) {
    main.replaceChildren(h("h1", {}, titleOf(name)), refusalNotice(refusal));
    if (refusal.status === 503) setTimeout(show, RETRY_MILLISECONDS);
    return;
  }
  const workbench = new Workbench(description);
  const card = cardSection(description);
  main.replaceChildren(heading(description), workbench.element, card);
  workbench.useExample(0);
  if (location.hash === "#card") card.scrollIntoView();
}

function heading({ question, version, latency_seconds: seconds }) {
  const slow = seconds > SLOW_SECONDS ? ` · takes up to ${Math.ceil(seconds)} s` : "";
  return h("div", { class: "intro" }, h("p", { class: "over" }, `${name} · version ${version}${slow}`), h("h1", {}, question || titleOf(name)));
}

/** Return the model card, loaded when it is opened, and the links to raw files. */
function cardSection({ links }) {
  const body = h("div", { class: "card-body" });
  const details = h("details", { class: "panel about", id: "card" }, h("summary", {}, "About this model: card, candidates, data and limits"), body);
  let loaded = false;
  details.addEventListener("toggle", async () => {
    if (!details.open || loaded) return;
    loaded = true;
    try {
      body.replaceChildren(...markdown(await (await call(links.card)).text()).slice(1), h("p", {}, h("a", { href: address(links.card).href }, "The card as Markdown"), " · ", h("a", { href: address(links.self ?? `v1/models/${name}/schema`).href }, "The schema as JSON")));
    } catch (refusal) {
      loaded = false;
      body.replaceChildren(refusalNotice(refusal));
    }
  });
  details.open = location.hash === "#card";
  return details;
}

/** The form on one side, the answer on the other. */
class Workbench {
  constructor(description) {
    this.description = description;
    this.page = new SharedPage(description.input);
    this.form = recordForm(open(description.input, description.input), this.page);
    this.editor = new JsonEditor();
    this.code = h("div", { class: "snippets" });
    const panels = [["Form", this.form.element], ["JSON", this.editor.element], ["API", this.code]];
    this.tabs = tabs("How to give the record", panels, { onselect: (to, from) => this.changeTab(to, from) });
    this.send = h("button", { class: "primary" }, description.streams ? "Generate" : "Predict");
    this.stop = button("Stop", () => this.abort?.abort(), { hidden: true });
    this.said = h("p", { class: "quiet", role: "status" });
    this.answer = h("div", { class: "answer-place", "aria-live": "polite", "aria-busy": "false" }, h("p", { class: "quiet" }, "The answer appears here."));
    const live = this.liveCamera();
    const form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.predict(); } },
      this.tabs.list, ...panels.map(([, panel]) => panel), h("div", { class: "buttons send" }, this.send, this.stop, live?.button, this.said));
    form.noValidate = true;
    this.element = h("div", { class: "workbench" },
      h("section", { class: "panel input", "aria-label": "Input" }, h("h2", {}, "Input"), this.examples(), form),
      h("section", { class: "panel output", "aria-label": "Answer" }, h("h2", {}, "Answer"), live?.place, this.answer));
  }

  examples() {
    const { examples } = this.description;
    if (!examples.length) return null;
    this.exampleButtons = examples.map((_, place) => button(`Example ${place + 1}`, () => this.useExample(place), { class: "small", "aria-pressed": "false" }));
    return h("div", { class: "buttons examples", role: "group", "aria-label": "Examples that fill the form" }, this.exampleButtons);
  }

  /**
   * Fill the form with an example, and show the answer that was stored with it.
   *
   * That takes no request: looking at a page must not count as traffic of the model.
   */
  async useExample(place) {
    const example = this.description.examples[place];
    if (!example) return;
    this.abort?.abort();
    this.exampleButtons.forEach((each, other) => each.setAttribute("aria-pressed", String(other === place)));
    this.form.fill(example.input);
    this.editor.record = example.input;
    if (this.tabs.current === "API") this.showCode(example.input);
    await this.page.settled();
    this.showAnswer(example.input, { predictions: [example.output], version: this.description.version }, null);
  }

  /** Carry the record over when another tab is shown; stay where JSON cannot be read. */
  changeTab(to, from) {
    try {
      const record = from === "JSON" ? this.editor.record : this.form.read([]);
      if (from === "JSON") this.form.fill(record);
      if (to === "JSON") this.editor.record = record;
      if (to === "API") this.showCode(record);
    } catch (fault) {
      this.editor.fail(fault.message);
      return false;
    }
    return true;
  }

  showCode(record) {
    const { description } = this;
    const made = snippets({ url: address(description.links.predict).href, schema: description.input, root: description.input, kindOf, record, key: signedIn(), streams: description.streams });
    this.code.replaceChildren(...made.map(([title, text]) => h("section", {}, h("div", { class: "snippet-head" }, h("h3", {}, title), copyButton(() => text)), h("pre", { tabIndex: 0 }, text))));
  }

  /** Return the record of the tab that is shown; null if a field cannot be read. */
  read() {
    const faults = [];
    try {
      if (this.tabs.current === "JSON") return this.editor.record;
    } catch (fault) {
      this.editor.fail(fault.message);
      return null;
    }
    const record = this.form.read(faults);
    if (!faults.length) return record;
    faults[0].component.focus();
    this.said.textContent = `${faults.length === 1 ? "One field needs" : `${faults.length} fields need`} a look.`;
    return null;
  }

  async predict() {
    const record = this.read();
    if (record === null) return;
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.busy(true);
    const started = performance.now();
    const clock = setInterval(() => { this.said.textContent = `${((performance.now() - started) / 1000).toFixed(1)} s`; }, 100);
    try {
      const response = await this.request(record, abort.signal);
      this.showAnswer(record, response, performance.now() - started);
      this.said.textContent = "";
    } catch (fault) {
      if (this.abort === abort) this.showFault(fault);
    } finally {
      clearInterval(clock);
      if (this.abort === abort) this.busy(false);
    }
  }

  request(record, signal) {
    const { links, streams } = this.description;
    const body = JSON.stringify(record);
    if (!streams) return json(links.predict, { method: "POST", body, signal });
    const text = h("p", { class: "headline text streaming" });
    const said = h("p", { class: "quiet" });
    this.answer.replaceChildren(text, said);
    const started = performance.now();
    let count = 0;
    return stream(links.predict, body, { signal, onchunk: (chunk) => {
      count += 1;
      text.append(String(Object.values(chunk).find((each) => typeof each === "string") ?? ""));
      said.textContent = `${count} chunks, ${(count / ((performance.now() - started) / 1000)).toFixed(1)} a second`;
    } });
  }

  busy(yes) {
    this.answer.setAttribute("aria-busy", String(yes));
    this.stop.hidden = !yes;
    this.send.disabled = yes;
  }

  showAnswer(record, response, milliseconds) {
    const prediction = response.predictions[0];
    const { output, links, explains } = this.description;
    const { images: [image], videos: [video] } = this.page;
    const { element, sentence } = answerOf(open(output, output), output, prediction, { bitmap: image?.bitmap, videoUrl: video?.url });
    // The answer stored with an example is not the last answer.
    if (milliseconds !== null) this.page.carry(prediction, output);
    const raw = h("div", {}, codeBlock(response));
    const request = h("div", {}, h("p", {}, h("code", {}, `POST ${address(links.predict).pathname}`)), codeBlock(record));
    const shown = h("div", {}, element, this.followUps(record, response, sentence, links.explain ?? (explains ? `v1/models/${name}/explain` : null)));
    const panels = [["Answer", shown], ["Raw", raw], ["Request", request]];
    const choice = tabs("How to see the answer", panels);
    const facts = milliseconds === null
      ? [`the answer stored with this example, version ${response.version}`]
      : [`${Math.round(milliseconds)} ms`, `version ${response.version}`, response.variant];
    this.answer.replaceChildren(choice.list, shown, raw, request,
      h("p", { class: "meta" }, facts.map((each) => h("span", {}, each)), response.id ? h("span", { class: "id" }, "id ", h("code", {}, response.id)) : null));
  }

  /** Return the explanation and the feedback below an answer. */
  followUps(record, response, sentence, explainPath) {
    const { output, browser, links } = this.description;
    const element = h("div", { class: "follow-ups" });
    const further = [
      explainPath ? whyButton(explainPath, record) : null,
      browser ? browserButton(browser, links, record, response.predictions[0]) : null,
    ].filter(Boolean);
    if (further.length) element.append(h("div", { class: "buttons" }, further.map((each) => each.button)), ...further.map((each) => each.place));
    const field = sentence.name ? open(output.properties[sentence.name], output) : null;
    if (response.id && field && isLabel(sentence.kind, field)) {
      element.append(feedbackOn({ id: response.id, name: sentence.name, kind: sentence.kind, field, predicted: response.predictions[0][sentence.name] }));
    }
    return element;
  }

  /** Show a refusal, at the fields that it names where there are any. */
  showFault(fault) {
    if (fault.name === "AbortError") {
      this.said.textContent = "Stopped.";
      this.answer.querySelector(".streaming")?.classList.remove("streaming");
      return;
    }
    this.said.textContent = "";
    const rest = [];
    for (const { field, message } of fault.errors ?? []) {
      const found = this.form.locate(field.split("."));
      if (found && this.tabs.current === "Form") found.fail(message);
      else rest.push(`${field}: ${message}`);
    }
    this.form.element.querySelector(".failed input, .failed select, .failed textarea, .failed button")?.focus();
    const notice = refusalNotice(fault);
    if (rest.length) notice.append(h("ul", {}, rest.map((each) => h("li", {}, each))));
    this.answer.replaceChildren(notice);
  }

  /** Return the live camera for a model that takes a picture by camera; else null. */
  liveCamera() {
    const fields = [...fieldsOf(this.description.input, this.description.input)].map(([own, field]) => [own, kindOf(field, this.description.input), field]);
    const picture = fields.find(([, kind, field]) => kind === "image" && field["x-slipway"]?.capture);
    if (!picture || !cameraAvailable()) return null;
    return liveButton({ description: this.description, imageField: picture[0], record: () => this.form.read([]), carry: (prediction) => this.page.carry(prediction, this.description.output) });
  }
}

function codeBlock(value) {
  return h("pre", { tabIndex: 0 }, JSON.stringify(shortened(value), null, 2));
}

/** What the fields of one page share: pictures, the prompts on them, and states. */
class SharedPage {
  constructor(root) {
    this.root = root;
    this.images = [];
    this.videos = [];
    this.prompts = new Set();
    this.states = new Map();
    this.pending = [];
  }

  /** Remember a promise, such as the decoding of a picture, for `settled`. */
  wait(promise) {
    this.pending.push(promise);
  }

  async settled() {
    while (this.pending.length) await this.pending.pop();
  }

  promptShapes() {
    return [...this.prompts].flatMap((each) => each());
  }

  redraw() {
    this.images[0]?.redraw();
  }

  setState(name, text) {
    this.states.get(name)?.(text);
  }

  /** Take the states of an answer over into the next request. */
  carry(prediction, output) {
    for (const [name, field] of fieldsOf(output, output)) {
      if (kindOf(field, output) === "state" && this.states.has(name)) this.setState(name, prediction[name]);
    }
  }
}

/** The record as JSON; long texts, such as pictures, stand there as short names. */
class JsonEditor {
  constructor() {
    this.files = new Map();
    this.input = h("textarea", { class: "code", rows: 16, spellcheck: false, id: "record-json", "aria-describedby": "record-json-error" });
    this.error = h("p", { class: "error", id: "record-json-error", hidden: true });
    this.element = h("div", { class: "field" }, h("label", { for: "record-json" }, "The record as JSON"), this.input, this.error);
  }

  fail(message) {
    this.error.textContent = message;
    this.error.hidden = !message;
  }

  get record() {
    this.fail("");
    try {
      return JSON.parse(this.input.value, (_, value) => this.files.get(value) ?? value);
    } catch (fault) {
      throw new Error(`This is not valid JSON: ${fault.message}`);
    }
  }

  set record(record) {
    this.fail("");
    this.files.clear();
    this.input.value = JSON.stringify(record, (_, value) => {
      if (typeof value !== "string" || value.length < LONG_TEXT || /\s/.test(value.slice(0, LONG_TEXT))) return value;
      const short = `file ${this.files.size + 1}: ${shortened(value)}`;
      this.files.set(short, value);
      return short;
    }, 2);
  }
}

showHeader([titleOf(name)]);
document.title = `${titleOf(name)} · Slipway`;
onSignIn(show);
show();
