// The head of each page: the way back to the catalogue, and signing in with an API key.

import { address, onSignIn, signedIn, signIn } from "./api.js";
import { button, h } from "./dom.js";

/** Fill the page's header. */
export function showHeader(trail = []) {
  const header = document.getElementById("header");
  const crumbs = h("nav", { class: "crumbs", "aria-label": "Breadcrumb" },
    h("a", { class: "brand", href: address("").href }, h("img", { src: new URL("icon.svg", import.meta.url).href, alt: "", width: 24, height: 24 }), "Slipway"),
    trail.map((each) => h("span", { "aria-current": "page" }, each)));
  header.replaceChildren(h("div", { class: "bar-inside" }, crumbs, h("div", { class: "head-actions" }, h("a", { href: address("docs").href }, "API"), signInForm())));
}

/** Return a menu to sign in with a key, which stays in this page's memory until it is closed. */
function signInForm() {
  const input = h("input", { type: "password", id: "api-key", autocomplete: "off", spellcheck: false });
  const summary = h("summary", {}, "Sign in");
  const out = button("Sign out", () => { input.value = ""; signIn(""); }, { class: "small", hidden: true });
  const menu = h("details", { class: "sign-in" }, summary,
    h("form", { onsubmit: (event) => { event.preventDefault(); signIn(input.value); menu.open = false; summary.focus(); } },
      h("label", { for: "api-key" }, "API key"), input,
      h("p", { class: "hint" }, "It stays in this page's memory and is gone when you leave the page."),
      h("div", { class: "buttons" }, h("button", { class: "small primary" }, "Use this key"), out)));
  menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; summary.focus(); } });
  onSignIn(() => { summary.textContent = signedIn() ? "Signed in" : "Sign in"; out.hidden = !signedIn(); });
  return menu;
}

/** Return a notice for a refusal; a missing key is explained. */
export function refusalNotice(refusal) {
  const help = refusal.status === 401 ? "Use “Sign in” above to enter an API key." : refusal.message;
  return h("div", { class: "notice bad", role: "alert" }, h("strong", {}, refusal.title ?? "Something failed"), " ", help);
}
