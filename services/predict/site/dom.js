// Builds elements. Texts become text nodes, so nothing from a server is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";
let counter = 0;

/** Return an id that no other element of the page has. */
export function uniqueId(prefix) {
  counter += 1;
  return `${prefix}-${counter}`;
}

/** Return an element with properties, event listeners (`onclick`), `data-` and `aria-` attributes. */
export function h(tag, properties = {}, ...children) {
  return assemble(document.createElement(tag), properties, children);
}

/** Return an SVG element; all its properties are attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((each) => each !== null && each !== undefined));
  return element;
}

function assemble(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

/** Return a button that submits nothing. */
export function button(text, onclick, properties = {}) {
  return h("button", { type: "button", onclick, ...properties }, text);
}

/**
 * Return tabs as the ARIA practices describe them: arrow keys move among them.
 *
 * `panels` holds [name, element] pairs; `onselect` is called with the name before a panel is shown,
 * and may return false to stay.
 */
export function tabs(label, panels, { onselect } = {}) {
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  const buttons = panels.map(([name, panel]) => {
    const id = uniqueId("tab");
    panel.id ||= uniqueId("panel");
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", id);
    return h("button", { type: "button", role: "tab", id, "aria-controls": panel.id, onclick: () => select(name) }, name);
  });
  let current = null;
  function select(name, { focus = false } = {}) {
    if (name !== current && current !== null && onselect && onselect(name, current) === false) return;
    current = name;
    panels.forEach(([each, panel], place) => {
      const chosen = each === name;
      panel.hidden = !chosen;
      buttons[place].setAttribute("aria-selected", String(chosen));
      buttons[place].tabIndex = chosen ? 0 : -1;
      if (chosen && focus) buttons[place].focus();
    });
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    const place = panels.findIndex(([name]) => name === current);
    const next = Number.isFinite(step) ? (place + step + panels.length) % panels.length : step < 0 ? 0 : panels.length - 1;
    select(panels[next][0], { focus: true });
    event.preventDefault();
  });
  list.append(...buttons);
  select(panels[0][0]);
  return { list, select, get current() { return current; } };
}

/** Return a button that copies what `text()` returns, and says so. */
export function copyButton(text, label = "Copy") {
  const said = h("span", { "aria-live": "polite" }, label);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      said.textContent = "Copied";
    } catch {
      said.textContent = "Select and copy it by hand";
    }
    setTimeout(() => { said.textContent = label; }, 2000);
  };
  return h("button", { type: "button", class: "small", onclick: copy }, said);
}
