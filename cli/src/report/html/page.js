const data = JSON.parse(document.getElementById("data").textContent);
const CHUNK = 200;
const ORDER = { errored: 0, failed: 1, passed: 2 };
const view = { text: "", show: "all", tag: "", tier: "", by: "outcome", down: false, shown: 0, rows: [] };

const tone = (result) => (result.quarantined ? "plain" : result.outcome === "passed" ? "good" : "bad");
const label = (result) => (result.quarantined ? `${result.outcome}, quarantined` : result.outcome);
const number = (value) => value.toFixed(3);
const milliseconds = (value) => (value < 10 ? value.toFixed(2) : Math.round(value).toLocaleString("en"));
const isFlaky = (result) => result.runs && result.runs.passed > 0 && result.runs.passed < result.runs.count;

const SHOW = {
  all: ["All", () => true],
  failed: ["Failed", (result) => result.outcome === "failed" && !result.quarantined],
  errored: ["Errored", (result) => result.outcome === "errored" && !result.quarantined],
  passed: ["Passed", (result) => result.outcome === "passed"],
  worse: ["Worse", (result) => result.flip && result.flip.direction === "worse"],
  better: ["Better", (result) => result.flip && result.flip.direction === "better"],
  flaky: ["Flaky", isFlaky],
  quarantined: ["Quarantined", (result) => result.quarantined],
};

const COLUMNS = [
  { key: "outcome", title: "Outcome", of: (result) => ORDER[result.outcome] + (result.quarantined ? 3 : 0) - (result.must ? 0.5 : 0), cell: outcomeCell },
  { key: "id", title: "Case", of: (result) => result.order, cell: (result) => element("td", { class: "id" }, result.id) },
  { key: "tier", title: "Tier", of: (result) => result.tier, cell: (result) => element("td", {}, result.tier), only: () => data.tiers.length > 1 },
  { key: "score", title: "Score", number: true, of: (result) => result.score, cell: (result) => element("td", { class: "number" }, number(result.score)) },
  { key: "delta", title: "Change", number: true, of: (result) => step(result), cell: deltaCell, only: () => data.against },
  { key: "ms", title: "ms", number: true, of: (result) => result.ms, cell: (result) => element("td", { class: "number" }, milliseconds(result.ms)) },
  { key: "tags", title: "Tags", of: (result) => (result.tags || []).join(" "), cell: tagCell, only: () => allTags().length > 0 },
];

const step = (result) => (result.flip ? result.flip.to.score - result.flip.from.score : 0);
const allTags = () => [...new Set(data.cases.flatMap((result) => result.tags || []))].sort();
const columns = () => COLUMNS.filter((column) => !column.only || column.only());

function outcomeCell(result) {
  return element("td", {}, element("span", { class: `chip ${tone(result)}` }, label(result)),
    result.must && [" ", element("span", { class: "chip plain" }, "must")],
    isFlaky(result) && [" ", element("span", { class: "chip warn" }, `${result.runs.passed} of ${result.runs.count}`)]);
}

function deltaCell(result) {
  if (!result.flip) return element("td", { class: "number faint" }, "·");
  const by = step(result);
  const text = by === 0 ? result.flip.direction : `${by > 0 ? "+" : "−"}${number(Math.abs(by))}`;
  return element("td", { class: `number delta ${result.flip.direction === "better" ? "up" : "down"}` }, text);
}

function tagCell(result) {
  return element("td", {}, (result.tags || []).map((tag) => [element("span", { class: "chip plain" }, tag), " "]));
}

function matches(result) {
  const words = view.text.toLowerCase().split(/\s+/).filter(Boolean);
  return SHOW[view.show][1](result) && (!view.tag || (result.tags || []).includes(view.tag)) && (!view.tier || result.tier === view.tier)
    && words.every((word) => result.search.includes(word));
}

function compare(one, two) {
  const column = COLUMNS.find((column) => column.key === view.by);
  const [a, b] = [column.of(one), column.of(two)];
  const order = typeof a === "string" ? Number(a > b) - Number(a < b) : a - b;
  if (order === 0) return one.order - two.order;
  return view.down ? -order : order;
}

function refresh() {
  view.rows = data.cases.filter(matches).sort(compare);
  view.shown = 0;
  body.replaceChildren();
  more();
  status.textContent = view.rows.length === data.cases.length ? `${data.cases.length.toLocaleString("en")} cases`
    : `${view.rows.length.toLocaleString("en")} of ${data.cases.length.toLocaleString("en")} cases`;
  empty.hidden = view.rows.length > 0;
}

/** The next rows; a page of ten thousand is made as it is scrolled to. */
function more() {
  const next = view.rows.slice(view.shown, view.shown + CHUNK);
  view.shown += next.length;
  body.append(...next.map(row));
}

function row(result) {
  const made = element("tr", { class: "case", tabindex: 0, "aria-expanded": "false" }, columns().map((column) => column.cell(result)));
  made.addEventListener("click", () => toggle(made, result));
  made.addEventListener("keydown", (event) => onRowKey(event, made, result));
  return made;
}

function onRowKey(event, made, result) {
  if (event.key === "Enter" || event.key === " ") toggle(made, result);
  else if (event.key === "ArrowDown") focusRow(made, "nextElementSibling");
  else if (event.key === "ArrowUp") focusRow(made, "previousElementSibling");
  else return;
  event.preventDefault();
}

function focusRow(from, way) {
  let to = from[way];
  while (to && !to.classList.contains("case")) to = to[way];
  if (to) to.focus();
}

function toggle(made, result) {
  const open = made.getAttribute("aria-expanded") === "true";
  made.setAttribute("aria-expanded", String(!open));
  if (open) made.nextElementSibling.remove();
  else made.after(element("tr", { class: "detail" }, element("td", { colspan: columns().length }, detail(result))));
}

function detail(result) {
  return [result.parts && element("div", { class: "why" }, result.parts.map(part), beside(result.shown)), facts(result)];
}

function beside(shown) {
  const side = (name, text) => [element("span", {}, name), element("div", { class: name }, text)];
  return shown && element("div", { class: "pair" }, side("expected", shown.expected), side("got", shown.answered));
}

function part(piece) {
  if (piece.text !== undefined) return piece.text.split("\n").map(textLine);
  const { path, expected, got } = piece.values;
  const side = (name, runs) => [element("span", {}, name), element("div", { class: name }, runs.map(([text, differs]) => (differs ? element("mark", {}, text) : text)))];
  return [element("div", { class: "path" }, path), element("div", { class: "pair" }, side("expected", expected), side("got", got))];
}

function textLine(line) {
  const sign = line.startsWith("    ") ? line[4] : "";
  return element("div", { class: sign === "-" ? "minus" : sign === "+" ? "plus" : undefined }, line);
}

function facts(result) {
  const flip = result.flip && `${result.flip.from.outcome} ${number(result.flip.from.score)} → ${result.flip.to.outcome} ${number(result.flip.to.score)}`;
  const known = [
    ["where", result.place], ["score", number(result.score)], ["weight", result.weight === 1 ? null : String(result.weight)],
    ["time", `${milliseconds(result.ms)} ms`], [`against ${data.against}`, flip],
    ["runs", result.runs && `${result.runs.passed} of ${result.runs.count} passed`],
    ["reads", result.reads && (result.reads.join(", ") || "nothing of the state")],
    ["cost", result.cost_usd !== undefined && result.cost_usd !== null ? `$${result.cost_usd}` : null],
    ["quarantine", result.quarantine && `until ${result.quarantine.until}: ${result.quarantine.why}`],
    ["what broke it", result.outcome !== "passed" && `agent bisect ${quoted(result.id)} --tier ${result.tier}`],
  ];
  return element("div", { class: "facts" }, known.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("span", {}, name), element("code", {}, value))));
}

const quoted = (text) => (/^[\w.:/@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function head() {
  return element("tr", {}, columns().map((column) => {
    const on = view.by === column.key;
    const title = column.title + (on ? (view.down ? " ↓" : " ↑") : "");
    const sort = () => {
      view.down = on ? !view.down : Boolean(column.number);
      view.by = column.key;
      heading.replaceChildren(head());
      refresh();
    };
    return element("th", { class: column.number ? "number" : undefined, "aria-sort": on ? (view.down ? "descending" : "ascending") : undefined },
      element("button", { onclick: sort, "data-on": on }, title));
  }));
}

function choices() {
  const there = Object.entries(SHOW).map(([key, [title, test]]) => [key, title, data.cases.filter(test).length]);
  return element("div", { class: "choice", role: "group", "aria-label": "Outcome" },
    there.filter(([key, , count]) => key === "all" || count > 0).map(([key, title, count]) => {
      const choose = (event) => {
        view.show = key;
        for (const other of event.currentTarget.parentElement.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
        refresh();
      };
      return element("button", { "aria-pressed": String(key === view.show), onclick: choose }, key === "all" ? title : `${title} ${count.toLocaleString("en")}`);
    }));
}

function select(name, all, values) {
  if (values.length < 2 && name !== "tag" || values.length === 0) return null;
  const change = (event) => { view[name] = event.target.value; refresh(); };
  return element("select", { "aria-label": name, onchange: change }, element("option", { value: "" }, all), values.map((value) => element("option", { value }, value)));
}

function onPageKey(event) {
  if (event.key === "/" && document.activeElement !== filter) filter.focus();
  else if (event.key === "Escape" && document.activeElement === filter) { filter.value = view.text = ""; refresh(); filter.blur(); }
  else return;
  event.preventDefault();
}

// the cases come in the order of their ids, `case-2` before `case-10`
data.cases.forEach((result, at) => { result.order = at; });
for (const result of data.cases) result.search = [result.id, result.place, result.why, ...(result.tags || [])].join(" ").toLowerCase();
const onFilter = (event) => { view.text = event.target.value; refresh(); };
const filter = element("input", { type: "search", placeholder: "Filter by id, reason, place or tag", "aria-label": "Filter", oninput: onFilter });
const status = element("span", { class: "faint", role: "status" });
const heading = element("thead", {}, head());
const body = element("tbody");
const empty = element("p", { class: "empty", hidden: true }, "No case matches.");
const end = element("div");
const keys = element("span", { class: "keys" }, element("kbd", {}, "/"), " filter  ", element("kbd", {}, "↑↓"), " move  ", element("kbd", {}, "Enter"), " open");
document.getElementById("cases").replaceChildren(element("div", { class: "card" },
  element("div", { class: "bar-tools" }, element("h2", { style: "margin:0 6px 0 0" }, "Cases"), status, keys),
  element("div", { class: "bar-tools" }, filter, choices(), select("tier", "All tiers", data.tiers), select("tag", "All tags", allTags())),
  element("div", { class: "scroll" }, element("table", {}, heading, body)), empty, end));
document.addEventListener("keydown", onPageKey);
new IntersectionObserver((seen) => { if (seen.some((entry) => entry.isIntersecting) && view.shown < view.rows.length) more(); }, { rootMargin: "600px" }).observe(end);
refresh();
const first = body.querySelector("tr.case");
if (first && view.rows[0].outcome !== "passed") toggle(first, view.rows[0]);
