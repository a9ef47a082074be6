// Calls of the model server. The API key lives in this module's memory and nowhere else.

/** The server's root; below a reverse proxy's path it is that path. */
export const ROOT = new URL("../../", import.meta.url);

let key = "";
const listeners = new Set();

export function signIn(newKey) {
  key = newKey.trim();
  for (const listener of listeners) listener(Boolean(key));
}

export function signedIn() {
  return Boolean(key);
}

/** Call `listener` whenever somebody signs in or out. */
export function onSignIn(listener) {
  listeners.add(listener);
}

/** The address of a path such as `v1/models`, on this server. */
export function address(path) {
  return new URL(path.replace(/^\//, ""), ROOT);
}

/** A refusal of the server: problem details (RFC 9457). */
export class Refusal extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.title = problem.title || "The server refused the request";
    this.status = status;
    this.errors = problem.errors || [];
  }
}

/** Send a request with the key, and return the response; a refusal is thrown. */
export async function call(path, { method = "GET", body, headers = {}, signal } = {}) {
  const given = { ...headers };
  if (key) given.authorization = `Bearer ${key}`;
  if (body !== undefined) given["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path), { method, body, headers: given, signal, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal({ title: "The server does not answer", detail: "Check that it runs, then try again." }, 0);
  }
  if (!response.ok) throw new Refusal(await problemOf(response), response.status);
  return response;
}

export async function json(path, options) {
  return (await call(path, options)).json();
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText };
  }
}

/** Yield the events of a `text/event-stream` response as {event, data}; comments are left out. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest = (rest + value).replaceAll("\r\n", "\n");
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const event = parseEvent(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event) yield event;
    }
  }
}

function parseEvent(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "event") event = value;
    if (name === "data") data.push(value);
  }
  return data.length ? { event, data: data.join("\n") } : null;
}

/**
 * Predict by a streaming model: `onchunk` gets each chunk, and the ordinary response is returned.
 *
 * A failure after the start comes as an event, and is thrown like any refusal.
 */
export async function stream(path, body, { signal, onchunk }) {
  const response = await call(path, { method: "POST", body, signal, headers: { accept: "text/event-stream" } });
  for await (const { event, data } of events(response)) {
    if (event === "chunk") onchunk(JSON.parse(data));
    if (event === "prediction") return JSON.parse(data);
    if (event === "error") {
      const problem = JSON.parse(data);
      throw new Refusal(problem, problem.status);
    }
  }
  throw new Refusal({ title: "The stream ended early", detail: "The server closed the connection before the prediction." }, 0);
}
