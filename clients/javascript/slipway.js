// Calls the models of a Slipway model server, in a browser or in Node.js 18 or newer.

const REPEATED = new Set([429, 503]);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** The server's refusal: `status`, `title`, `detail`, and `errors` with the invalid fields. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.title ? `${problem.title}: ${problem.detail}` : `status ${status}`);
    Object.assign(this, { name: "Refused", status, ...problem, errors: problem.errors ?? [] });
  }
}

/** A model server. `key` is an API key; `retries` is how often a busy server gets a request again. */
export class Client {
  constructor(address = "http://127.0.0.1:8000", { key, retries = 4 } = {}) {
    Object.assign(this, { address: address.replace(/\/$/, ""), key, retries });
  }

  async models() {
    return (await (await this.send("/v1/models")).json()).models;
  }

  model(name) {
    return new Model(this, name);
  }

  /** Attach the true outcome to a prediction: `client.feedback(id, { survived: true })`. */
  async feedback(id, label, { row = 0, reward } = {}) {
    await this.send("/v1/feedback", { json: { id, row, label, reward } });
  }

  /** Send a request and return its response; throw `Refused` for an error. */
  async send(path, { json, form, headers = {}, method, signal } = {}) {
    const own = { ...headers };
    if (this.key) own.Authorization = `Bearer ${this.key}`;
    if (json !== undefined) own["Content-Type"] = "application/json";
    const body = form ?? (json === undefined ? undefined : JSON.stringify(json));
    method ??= body === undefined ? "GET" : "POST";
    for (let attempt = 0; ; attempt += 1) {
      const response = await fetch(this.address + path, { method, headers: own, body, signal });
      if (response.ok) return response;
      const problem = await response.json().catch(() => ({}));
      if (!REPEATED.has(response.status) || attempt >= this.retries) {
        throw new Refused(response.status, problem);
      }
      const stated = Number(response.headers.get("retry-after")) || 0;
      await pause(Math.max(stated, 0.25 * 2 ** attempt * (0.5 + Math.random())));
    }
  }
}

export class Model {
  constructor(client, name) {
    Object.assign(this, { client, name, path: `/v1/models/${name}` });
  }

  /** The fields of the records and predictions, and examples. */
  async schema() {
    this.known ??= this.client.send(`${this.path}/schema`).then((response) => response.json());
    return this.known;
  }

  /** The response to a record or a list of records; a `File` or `Blob` in a record is sent as such. */
  async predict(record, options) {
    return (await this.client.send(`${this.path}/predict`, { ...body(record), ...options })).json();
  }

  /** The first picture, sound, ... of the prediction as a `Blob`. */
  async predictMedia(record, accept = "image/png") {
    const headers = { Accept: accept };
    return (await this.client.send(`${this.path}/predict`, { ...body(record), headers })).blob();
  }

  async explain(record) {
    return (await this.client.send(`${this.path}/explain`, { json: record })).json();
  }

  /** Yield `{ event: "chunk", data }` while the model works, at last `{ event: "prediction", data }`. */
  async *stream(record, { signal } = {}) {
    const headers = { Accept: "text/event-stream" };
    const sent = { ...body(record), headers, signal };
    const response = await this.client.send(`${this.path}/predict`, sent);
    let rest = "";
    for await (const piece of pieces(response)) {
      const blocks = (rest + piece).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n");
        const value = (name) => lines.find((each) => each.startsWith(name))?.slice(name.length);
        const [event, data] = [value("event: "), value("data: ")];
        if (data === undefined) continue; // a comment, which keeps the connection open
        if (event === "error") throw new Refused(JSON.parse(data).status, JSON.parse(data));
        yield { event, data: JSON.parse(data) };
        if (event === "prediction") return;
      }
    }
    throw new Error(`${this.name}: the stream ended without a prediction`);
  }
}

async function* pieces(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } finally {
    reader.cancel(); // the caller left the loop: the server stops the model
  }
}

function body(record) {
  const isFile = (value) => value instanceof Blob;
  const files = (value) => isFile(value) || (Array.isArray(value) && value.some(isFile));
  if (Array.isArray(record) || !Object.values(record).some(files)) return { json: record };
  const form = new FormData();
  for (const [name, value] of Object.entries(record)) {
    if (value === null || value === undefined) continue;
    if (files(value)) for (const file of [value].flat()) form.append(name, file);
    else form.append(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return { form };
}
