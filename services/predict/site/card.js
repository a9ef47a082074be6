// Shows a model card: the part of Markdown that cards use, as elements.

import { h } from "./dom.js";

const INLINE = /(\*\*[^*]+\*\*|`[^`]+`|\[[^\]]+\]\([^)\s]+\)|https?:\/\/[^\s)]+[^\s).,;])/;

/** Return elements for the Markdown; headings begin two levels lower, since the page has its own. */
export function markdown(text) {
  const blocks = text.replaceAll("\r\n", "\n").split(/\n{2,}/).filter((each) => each.trim());
  return blocks.flatMap(block);
}

function block(text) {
  const lines = text.split("\n");
  const heading = /^(#{1,4}) (.*)$/.exec(lines[0]);
  if (heading) {
    const level = Math.min(6, heading[1].length + 2);
    return [h(`h${level}`, {}, inline(heading[2])), ...(lines.length > 1 ? block(lines.slice(1).join("\n")) : [])];
  }
  if (lines.every((line) => line.startsWith("|"))) return [tableOf(lines)];
  if (lines.every((line) => /^(- |\s)/.test(line))) {
    const items = [];
    for (const line of lines) {
      if (line.startsWith("- ")) items.push(line.slice(2));
      else items[items.length - 1] += ` ${line.trim()}`;
    }
    return [h("ul", {}, items.map((each) => h("li", {}, inline(each))))];
  }
  return [h("p", {}, inline(lines.join(" ")))];
}

/** Return texts and elements for a line of Markdown: bold, code and links. */
export function inline(text) {
  return text.split(INLINE).map((part) => {
    if (/^\*\*.+\*\*$/.test(part)) return h("strong", {}, part.slice(2, -2));
    if (/^`.+`$/.test(part)) return h("code", {}, part.slice(1, -1));
    const link = /^\[([^\]]+)\]\((https?:\/\/[^)]+)\)$/.exec(part);
    if (link) return h("a", { href: link[2], rel: "noreferrer" }, link[1]);
    if (/^https?:\/\//.test(part)) return h("a", { href: part, rel: "noreferrer" }, part);
    return part;
  });
}

function tableOf(lines) {
  const rows = lines.map((line) => line.replace(/^\||\|$/g, "").split("|").map((each) => each.trim()));
  const right = (rows[1] ?? []).map((each) => each.endsWith(":"));
  const cells = (row, tag) => row.map((each, place) => h(tag, { class: right[place] ? "number" : "", ...(tag === "th" ? { scope: "col" } : {}) }, inline(each)));
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Table of the model card" },
    h("table", {}, h("thead", {}, h("tr", {}, cells(rows[0], "th"))), h("tbody", {}, rows.slice(2).map((row) => h("tr", {}, cells(row, "td"))))));
}
