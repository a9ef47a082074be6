// The catalogue: a card for each project, with search and a filter by track.

import { address, call, json, onSignIn } from "./api.js";
import { h } from "./dom.js";
import { refusalNotice, showHeader } from "./header.js";
import { titleOf } from "./schema.js";
import { figure } from "./sentence.js";

const SERVICES = { mlflow: "MLflow", grafana: "Grafana", explain: "Explanations" };
const TRACKS = { ml: "Machine learning", dl: "Deep learning", cv: "Computer vision" };
const AGAIN_MILLISECONDS = 5000;
const main = document.getElementById("main");

async function show() {
  let listing, lessons;
  try {
    [listing, lessons] = await Promise.all([json("v1/catalogue"), lessonsByName()]);
  } catch (refusal) {
    main.replaceChildren(intro(), refusalNotice(refusal));
    return;
  }
  const { models, faults, links } = listing;
  const failed = Object.entries(faults).filter(([name]) => !models.some((each) => each.name === name));
  const cards = [...models.map((each) => card(each, faults[each.name], links, lessons[each.name])), ...failed.map(([name, fault]) => failedCard(name, fault))];
  const list = h("ul", { class: "cards" }, cards.map(({ element }) => element));
  const said = h("p", { class: "quiet", role: "status" });
  const query = h("input", { type: "search", id: "search", placeholder: "Name, question or metric", autocomplete: "off" });
  const tracks = [...new Set(models.map(({ track }) => track).filter(Boolean))].sort();
  let track = "";
  const filters = h("div", { class: "filters", role: "group", "aria-label": "Track" },
    ["", ...tracks].map((each) => h("button", { type: "button", "aria-pressed": String(each === ""), onclick: (event) => {
      track = each;
      for (const other of filters.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
      filter();
    } }, each ? (TRACKS[each] ?? titleOf(each)) : "All")));
  function filter() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { element, text, track: own } of cards) {
      element.hidden = !(words.every((word) => text.includes(word)) && (!track || own === track));
      count += element.hidden ? 0 : 1;
    }
    // A track is a course: its lessons first, in their order. All models are in alphabetical order.
    const shown = track ? [...cards].sort((one, other) => (one.lesson ?? Infinity) - (other.lesson ?? Infinity)) : cards;
    list.append(...shown.map(({ element }) => element));
    said.textContent = count === cards.length ? `${count} ${count === 1 ? "model" : "models"}` : `${count} of ${cards.length} models`;
  }
  query.addEventListener("input", filter);
  main.replaceChildren(intro(links),
    h("div", { class: "finder" }, h("div", { class: "search" }, h("label", { for: "search" }, "Search"), query), tracks.length > 1 ? filters : null, said),
    cards.length ? list : h("p", { class: "notice" }, "No model is served yet. Train one with ", h("code", {}, "make up"), "; it appears here as soon as it is registered."));
  filter();
  // Models appear as soon as they are registered, such as during the first start.
  if (!cards.length) setTimeout(show, AGAIN_MILLISECONDS);
}

function intro(links = {}) {
  const named = Object.entries(links);
  return h("div", { class: "intro" }, h("h1", {}, "Models"),
    h("p", { class: "lead" }, "Every model that is champion in the registry. Open one to try it."),
    named.length ? h("nav", { "aria-label": "Other pages of the platform", class: "services" }, named.map(([name, href]) => h("a", { href }, SERVICES[name] ?? titleOf(name)))) : null);
}

/** Return the number of each project in the course of its track. */
async function lessonsByName() {
  return (await fetch(new URL("course.json", import.meta.url))).json();
}

function card(model, fault, links, lesson) {
  const { name, question, track, metric, version, picture, state } = model;
  const title = titleOf(name);
  const media = picture ? h("div", { class: "card-picture" }) : null;
  if (picture) showPicture(media, picture);
  const pages = [["Card", model.links.card], ["Schema", model.links.schema]].map(([text, path]) => h("a", { href: address(path).href }, text));
  if (links.mlflow) pages.push(h("a", { href: new URL(`#/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`, links.mlflow).href }, "Report"));
  if (links.monitor) pages.push(h("a", { href: new URL(`projects/${encodeURIComponent(name)}`, links.monitor).href }, "Drift"));
  const element = h("li", { class: "card" },
    h("div", { class: "card-text" },
      h("div", { class: "card-main" }, media,
        h("p", { class: "over" }, track ? (TRACKS[track] ?? track) : null, lesson ? h("span", {}, `lesson ${lesson}`) : null, h("span", {}, `v${version}`), badge(state, fault)),
        h("h2", {}, h("a", { href: address(model.links.try).href, class: "cover" }, title)),
        h("p", { class: "question" }, question)),
      scores(metric),
      fault ? h("p", { class: "error" }, fault) : null,
      h("p", { class: "card-links" }, pages)));
  return { element, track, lesson, text: `${name} ${title} ${question} ${metric?.name ?? ""}`.toLowerCase() };
}

function badge(state, fault) {
  if (fault) return h("span", { class: "badge warn" }, "newer version failed");
  return h("span", { class: "badge good", title: state === "loaded" ? "in memory" : "loads at its first request" }, state);
}

function failedCard(name, fault) {
  const element = h("li", { class: "card failed" }, h("div", { class: "card-text" },
    h("p", { class: "over" }, h("span", { class: "badge bad" }, "not served")), h("h2", {}, titleOf(name)), h("p", { class: "error" }, fault)));
  return { element, track: null, text: `${name} ${titleOf(name)} ${fault}`.toLowerCase() };
}

/** Return the primary metric with its interval, and the baseline's: on test rows, else on validation rows. */
function scores(metric) {
  if (!metric) return null;
  const known = (value) => value !== null && value !== undefined;
  const shown = (value) => figure(value, 3);
  const parts = [h("strong", {}, shown(metric.test)), ` ${metric.name.replaceAll("_", " ")}`];
  if (metric.interval) parts.push(h("span", { class: "quiet", title: "95 % interval" }, ` (${metric.interval.map(shown).join(" to ")})`));
  if (known(metric.test_baseline)) parts.push(h("span", { class: "quiet", title: "On the same test rows" }, ` · baseline ${shown(metric.test_baseline)}`));
  else if (known(metric.baseline) && known(metric.validation)) {
    parts.push(h("span", { class: "quiet", title: "Both on validation rows; the first number is on test rows" }, ` · in validation ${shown(metric.validation)}, baseline ${shown(metric.baseline)}`));
  }
  return h("p", { class: "scores" }, parts);
}

async function showPicture(media, path) {
  try {
    const response = await call(path);
    const picture = h("img", { alt: "", src: URL.createObjectURL(await response.blob()), onload: () => {
      if (picture.naturalWidth < 100) picture.classList.add("pixels");
    } });
    media.append(picture);
  } catch {
    media.remove();
  }
}

showHeader();
onSignIn(show);
show();
