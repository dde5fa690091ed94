// Routing by the hash, requests to the API, and keyboard navigation.
const PAGE = 100;
const main = document.getElementById("main");
const state = { agent: null, versions: [], next: null, loaded: false, tier: null, chosen: null };

const number = (value) => value.toFixed(3);
const count = (value, noun) => `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
const moment = (text) => `${text.slice(0, 10)} ${text.slice(11, 16)}`;
const short = (id) => id && id.slice(0, 9);
const compact = (value) => (value === undefined || value === null ? "nothing" : JSON.stringify(value));
const say = (text) => { document.getElementById("status").textContent = text; };

/** A document of the API; a problem is thrown. */
async function ask(path) {
  const token = sessionStorage.getItem("token");
  const answer = await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  const document = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(document.detail), { problem: document });
  return document;
}

/** The same, null for a 404. */
async function askIfThere(path) {
  try {
    return await ask(path);
  } catch (error) {
    if (error.problem && error.problem.status === 404) return null;
    throw error;
  }
}

async function loadVersions(after) {
  const page = await ask(`v1/versions?limit=${PAGE}${after ? `&after=${after}` : ""}`);
  state.versions = after ? [...state.versions, ...page.versions] : page.versions;
  state.next = page.next || null;
  state.agent = page.agent || null;
  state.loaded = true;
}

/** The tiers that any of the versions has, the largest first. */
function tiersThere() {
  const there = new Set(state.versions.flatMap((entry) => Object.keys((entry.eval && entry.eval.tiers) || {})));
  return ["full", "fast", "micro"].filter((tier) => there.has(tier));
}

const summaryOf = (entry, tier) => entry.eval && entry.eval.tiers && entry.eval.tiers[tier];

/** By how much a tier's score differs from that of the version it was made from; null where either was not measured. */
function gainOf(entry, tier) {
  const base = entry.base && state.versions.find((other) => other.version === entry.base);
  const [now, before] = [summaryOf(entry, tier), base && summaryOf(base, tier)];
  return now && before ? now.score - before.score : null;
}

/** The author of a version, in a few words. */
function maker(entry) {
  if (entry.kind === "promotion") return "learned from signals";
  if (entry.kind === "rollback") return `undoes ${entry.evidence.undoes.map((version) => `v${version}`).join(", ")}`;
  if (entry.evidence.coder) return `${entry.evidence.coder} coder${entry.evidence.feedback.length ? ", for feedback" : ""}`;
  return entry.kind ? "people" : "a tag that is no version";
}

const PLACES = [
  [/^#?\/?$/, () => overview()],
  [/^#\/live$/, () => liveView()],
  [/^#\/v\/([\d.]+)$/, (version) => versionView(version)],
  [/^#\/diff\/([\d.]+?)\.\.\.([\d.]+)$/, (from, to) => diffView(from, to)],
  [/^#\/v\/([\d.]+)\/(micro|fast|full)(?:\?(\w+))?$/, (version, tier, outcome) => casesView(version, tier, outcome || "")],
  [/^#\/v\/([\d.]+)\/(micro|fast|full)\/(.+)$/, (version, tier, id) => caseView(version, tier, decodeURIComponent(id))],
];

let turn = 0;
/** Shows the view of the hash. A view that is ready after the hash has changed is dropped. */
async function show(isFirst) {
  const mine = ++turn;
  main.setAttribute("aria-busy", "true");
  let content;
  try {
    if (!state.loaded) await loadVersions();
    const [, view, parts] = PLACES.map(([pattern, view]) => [pattern, view, location.hash.match(pattern)]).find(([, , parts]) => parts) || [];
    content = view ? await view(...parts.slice(1)) : problemView(new Error(`there is nothing at ${location.hash}`));
  } catch (error) {
    content = error.problem && error.problem.status === 401 ? tokenView(error) : problemView(error);
  }
  if (mine !== turn) return;
  main.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  main.removeAttribute("aria-busy");
  showTrail();
  const heading = main.querySelector("h2");
  say(heading ? heading.textContent : "");
  if (!isFirst) {
    window.scrollTo(0, 0);
    if (heading) { heading.setAttribute("tabindex", "-1"); heading.focus({ preventScroll: true }); }
  }
}

/** The parents of this view. */
function above() {
  const [, version, tier, id] = location.hash.match(/^#\/v\/([\d.]+)(?:\/(micro|fast|full))?(?:\?\w+)?(?:\/(.+))?$/) || [];
  if (id) return [["#/", "All"], [`#/v/${version}`, `v${version}`], [`#/v/${version}/${tier}`, tier], [null, decodeURIComponent(id)]];
  if (tier) return [["#/", "All"], [`#/v/${version}`, `v${version}`], [null, tier]];
  if (version) return [["#/", "All"], [null, `v${version}`]];
  if (location.hash === "#/live") return [["#/", "All"], [null, "Live"]];
  const [, from, to] = location.hash.match(/^#\/diff\/([\d.]+?)\.\.\.([\d.]+)$/) || [];
  return from ? [["#/", "All"], [null, `v${from} … v${to}`]] : [];
}

function showTrail() {
  const steps = above().map(([href, name]) => (href ? element("a", { href }, name) : element("span", { "aria-current": "page" }, name)));
  document.getElementById("trail").replaceChildren(...steps);
  const served = state.versions.find((entry) => !entry.yanked && entry.kind);
  document.getElementById("served").replaceChildren(...(served ? [element("span", { class: "faint" }, "newest in service "), element("a", { href: `#/v/${served.version}`, class: "chip good" }, served.tag)] : []), element("a", { href: "#/live", class: "chip plain", "aria-current": location.hash === "#/live" && "page" }, "live traffic"));
  const place = above().map(([, name]) => name).slice(1);
  document.querySelector("h1 a").textContent = state.agent ? `${state.agent}: versions` : "Versions";
  document.title = [...place, "Versions", state.agent].filter(Boolean).join(" · ");
}

function problemView(error) {
  const hint = error.problem && error.problem.hint;
  return element("section", { class: "card" }, element("h2", {}, "The request failed"), element("p", {}, error.message), hint && element("p", { class: "faint" }, hint),
    element("p", {}, element("a", { href: "#/" }, "All versions")));
}

function tokenView(error) {
  const input = element("input", { type: "password", "aria-label": "Token", autocomplete: "current-password", required: true });
  const enter = (event) => { event.preventDefault(); sessionStorage.setItem("token", input.value); show(); };
  const wrong = sessionStorage.getItem("token") !== null;
  return element("section", { class: "card" }, element("h2", {}, "A token is required"),
    element("p", { class: "faint" }, wrong ? "The token was refused: " : "", error.message),
    element("form", { class: "bar-tools", onsubmit: enter, "aria-label": "Token" }, input, element("button", { class: "action" }, "Look")));
}

/** In a list with one link a row: up, down, first and last. */
function withKeys(list, selector, [back, forth] = ["ArrowUp", "ArrowDown"]) {
  list.addEventListener("keydown", (event) => {
    const stops = [...list.querySelectorAll(selector)];
    const at = stops.indexOf(document.activeElement);
    const to = { [back]: at - 1, [forth]: at + 1, Home: 0, End: stops.length - 1 }[event.key];
    if (at < 0 || to === undefined || !stops[to]) return;
    event.preventDefault();
    stops[to].focus();
  });
  return list;
}

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key !== "Escape" || event.altKey || event.ctrlKey || event.metaKey) return;
  if (isTyping) { document.activeElement.blur(); return; }
  const up = above().filter(([href]) => href).pop();
  if (up) location.hash = up[0];
});
window.addEventListener("hashchange", () => show(false));
