// The same call as curl, Python and JavaScript.

import { shortened } from "./bytes.js";
import { fieldsOf, isBytes } from "./schema.js";

const MEDIA = { image: "picture.jpg", audio: "sound.wav", video: "video.mp4", blob: "file.pdf", bytes: "picture.png" };

/** Return [title, text] for each language. `kindOf` names the kind of an opened field. */
export function snippets({ url, schema, root, kindOf, record, key, streams }) {
  const files = [...fieldsOf(schema, root)].map(([name, field]) => [name, field, kindOf(field, root)])
    .filter(([name, field, kind]) => (kind in MEDIA || isBytes(field)) && record[name]).map(([name, , kind]) => [name, MEDIA[kind] ?? "file.bin"]);
  const rest = Object.fromEntries(Object.entries(record).filter(([name]) => !files.some(([each]) => each === name)));
  const given = { url, files, rest, key, streams };
  return [["curl", curl(given)], ["Python", python(given)], ["JavaScript", javascript(given)]];
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curl({ url, files, rest, key, streams }) {
  const lines = [`curl ${streams ? "-N " : ""}${url}`];
  if (key) lines.push("-H \"Authorization: Bearer $SLIPWAY_KEY\"");
  if (streams) lines.push("-H 'Accept: text/event-stream'");
  if (files.length) {
    for (const [name, file] of files) lines.push(`-F ${name}=@${file}`);
    for (const [name, value] of Object.entries(rest)) {
      lines.push(`--form-string ${quoted(`${name}=${typeof value === "object" && value ? JSON.stringify(value) : value ?? ""}`)}`);
    }
  } else lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(shortened(rest)))}`);
  return lines.join(" \\\n  ");
}

function python({ url, files, rest, key, streams }) {
  const head = ["import httpx"];
  if (files.length) head.unshift("import base64", "from pathlib import Path", "");
  const record = [`record = ${pythonValue(shortened(rest))}`];
  for (const [name, file] of files) record.push(`record[${JSON.stringify(name)}] = base64.b64encode(Path(${JSON.stringify(file)}).read_bytes()).decode()`);
  const headers = key ? ', headers={"Authorization": f"Bearer {key}"}' : "";
  if (streams) {
    return [...head, "", ...record, `headers = {"Accept": "text/event-stream"${key ? ', "Authorization": f"Bearer {key}"' : ""}}`,
      `with httpx.stream("POST", "${url}", json=record, headers=headers, timeout=120) as response:`, "    for line in response.iter_lines():", "        print(line)"].join("\n");
  }
  return [...head, "", ...record, `response = httpx.post("${url}", json=record${headers}, timeout=60)`, "response.raise_for_status()", 'print(response.json()["predictions"][0])'].join("\n");
}

function pythonValue(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const list = Array.isArray(value);
  const parts = list ? value.map((each) => pythonValue(each, inner)) : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${pythonValue(each, inner)}`);
  if (!parts.length) return list ? "[]" : "{}";
  const line = parts.join(", ");
  if (line.length < 70 && !line.includes("\n")) return list ? `[${line}]` : `{${line}}`;
  const body = parts.map((each) => `${inner}${each},`).join("\n");
  return list ? `[\n${body}\n${indent}]` : `{\n${body}\n${indent}}`;
}

function javascript({ url, files, rest, key, streams }) {
  const lines = [];
  if (files.length) {
    lines.push("const base64 = async (file) => {", "  const bytes = new Uint8Array(await file.arrayBuffer());", '  return btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join(""));', "};");
  }
  lines.push(`const record = ${JSON.stringify(shortened(rest), null, 2)};`);
  for (const [name] of files) lines.push(`record.${name} = await base64(document.querySelector("input[type=file]").files[0]);`);
  const headers = ['"Content-Type": "application/json"', key ? "Authorization: `Bearer ${key}`" : null, streams ? 'Accept: "text/event-stream"' : null].filter(Boolean).join(", ");
  lines.push(`const response = await fetch("${url}", {`, '  method: "POST",', `  headers: { ${headers} },`, "  body: JSON.stringify(record),", "});");
  if (streams) lines.push("for await (const text of response.body.pipeThrough(new TextDecoderStream())) console.log(text);");
  else lines.push("const { predictions } = await response.json();", "console.log(predictions[0]);");
  return lines.join("\n");
}
