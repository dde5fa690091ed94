// Live traffic: a chart for each figure over time by version, the objectives, the versions in numbers.
const RANGES = ["1h", "6h", "24h", "7d", "28d", "90d"];
const UPDATE_MS = 5000;
const COLOURS = 7;
const PLOT = { left: 54, right: 14, top: 24, bottom: 24, height: 176 };
Object.assign(state, { range: "24h", colours: new Map() });

const percent = (share) => `${Number((100 * share).toFixed(2)).toLocaleString("en")} %`;
const duration = (ms) => (ms < 1000 ? `${Number(ms.toPrecision(3))} ms` : `${Number((ms / 1000).toPrecision(3)).toLocaleString("en")} s`);
const dollars = (usd) => `$${Number(usd.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 9 })}`;
const plain = (value) => Number(value.toPrecision(4)).toLocaleString("en");
/** The length of a step. */
const span = (seconds) => (seconds < 3600 ? `${seconds / 60} min` : seconds < 86400 ? `${seconds / 3600} h` : "day");
/** What the API calls the sum of the versions without a series of their own. */
const versionName = (version) => (version === "others" ? "other versions" : /^\d/.test(version) ? `v${version}` : version);

/** What a chart shows: the value of a step, null where there is none. */
const FIGURES = [
  { title: "Calls", isSum: true, none: "No calls.", shown: plain, of: (series, step) => (isWithin(series, step) ? series.calls[step] : null) },
  { title: "Errors", none: "No calls.", shown: percent, of: (series, step) => (series.calls[step] ? series.errors[step] / series.calls[step] : null) },
  { title: "Latency, median", none: "No calls.", shown: duration, of: (series, step) => series.p50_ms[step] },
  { title: "Latency, 95th percentile", none: "No calls.", shown: duration, of: (series, step) => series.p95_ms[step] },
  { title: "Mean reward", none: "No rewards.", shown: plain, isFree: true, of: (series, step) => series.reward_mean[step] },
  { title: "Cost", isSum: true, none: "No call reported a cost.", shown: dollars, of: (series, step) => series.cost_usd[step] },
];

/** The cards below the charts. What else is to be seen of live traffic is a card more here: `show` makes it from what `read` asked for. */
const LIVE_CARDS = [
  { label: "Objectives", read: () => ask("v1/slos"), show: objectivesCard },
  { label: "Firings of triggers", read: () => ask("v1/firings"), show: firingsCard },
  { label: "Canaries", read: () => ask("v1/canaries"), show: canariesCard },
  { label: "Versions in this range", read: (live) => live, show: trafficCard },
];

/** A zero is shown beside calls, so that a line ends at it, and not where a version is not called. */
function isWithin(series, step) {
  return [step - 1, step, step + 1].some((near) => series.calls[near] > 0);
}

/** A colour of its own for each version, which it keeps. */
function colour(version) {
  if (version === "others") return "of-others";
  if (!state.colours.has(version)) state.colours.set(version, state.colours.size % COLOURS);
  return `of-${state.colours.get(version)}`;
}

async function liveView() {
  const updated = element("span", { class: "faint" });
  const key = element("ul", { class: "legend", "aria-label": "Versions" });
  const charts = FIGURES.map(liveChart);
  const cards = LIVE_CARDS.map(({ label }) => element("section", { class: "card", "aria-label": label }));
  const update = async () => {
    const live = await ask(`v1/live?since=${state.range}`);
    [...live.versions].reverse().forEach((series) => colour(series.version));
    updated.textContent = `${moment(live.at)}:${live.at.slice(17, 19)} UTC`;
    key.replaceChildren(...live.versions.map((series) => element("li", {}, swatch(series.version), versionName(series.version))));
    charts.forEach((chart) => chart.update(live));
    await Promise.all(LIVE_CARDS.map(async (card, index) => {
      const content = await Promise.resolve(card.read(live)).then(card.show, (error) => [element("h2", {}, card.label), element("p", { class: "faint" }, error.message)]);
      // what has the focus is not taken away
      if (!cards[index].contains(document.activeElement)) cards[index].replaceChildren(...[content].flat(Infinity).filter(Boolean));
    }));
  };
  const ranges = choice("Range", RANGES.map((range) => [range, range]), state.range, (range) => {
    state.range = range;
    for (const button of ranges.children) button.setAttribute("aria-pressed", String(button.textContent === range));
    update().catch((error) => say(error.message));
  });
  await update();
  const top = element("section", { class: "card", "aria-label": "Traffic" },
    element("div", { class: "title" }, element("h2", {}, "Live traffic"), updated, ranges), key,
    element("div", { class: "plots" }, charts.map((chart) => chart.figure)), legend(),
    element("p", { class: "hint keys-hint" }, element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " go along a chart, ", element("kbd", {}, "Esc"), " goes back."));
  keepUpdated(top, update);
  return [top, cards];
}

/** Updates a view while it is shown and seen. */
function keepUpdated(shown, update) {
  const again = () => setTimeout(async () => {
    if (!shown.isConnected) return;
    if (document.visibilityState === "visible") await update().catch((error) => say(error.message));
    again();
  }, UPDATE_MS);
  again();
}

function swatch(version) {
  return drawn("svg", { width: 22, height: 10, viewBox: "0 0 22 10", "aria-hidden": "true" }, drawn("line", { class: `series ${colour(version)}`, x1: 1, x2: 21, y1: 5, y2: 5 }));
}

/** A chart with a cursor, which the pointer moves and the arrow keys. */
function liveChart(figure) {
  let [live, at] = [null, null];
  const card = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const plot = element("div", { class: "chart small", tabindex: "0", role: "slider", "aria-label": `${figure.title} by version`, "aria-valuemin": 0 });
  const last = () => live.versions[0].calls.length - 1;
  const move = (step) => {
    at = step;
    drawLive(plot, card, figure, live, at);
    const text = at === null ? "" : spokenStep(figure, live, at);
    plot.setAttribute("aria-valuenow", at === null ? last() : at);
    plot.setAttribute("aria-valuetext", text);
  };
  const has = () => live && live.versions.some((series) => series.calls.some((_, step) => figure.of(series, step) !== null));
  const redraw = () => {
    if (!live) return;
    const shows = has();
    plot.setAttribute("tabindex", shows ? "0" : "-1");
    if (!shows) { at = null; plot.replaceChildren(element("p", { class: "faint" }, figure.none)); return; }
    plot.setAttribute("aria-valuemax", last());
    move(at === null ? null : Math.min(at, last()));
  };
  plot.addEventListener("keydown", (event) => {
    const from = at === null ? last() : at;
    const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, Home: 0, End: last() }[event.key];
    if (!has() || to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(Math.min(Math.max(to, 0), last()));
  });
  plot.addEventListener("pointermove", (event) => { if (has()) move(stepAt(event.clientX - plot.getBoundingClientRect().left, plot.clientWidth, last() + 1)); });
  plot.addEventListener("focus", () => { if (has() && at === null) move(last()); });
  for (const leaves of ["pointerleave", "blur"]) plot.addEventListener(leaves, () => { if (has() && document.activeElement !== plot) move(null); });
  new ResizeObserver(redraw).observe(plot);
  const title = element("h3", {}, figure.title);
  const update = (data) => {
    live = data;
    if (figure.isSum) title.replaceChildren(figure.title, element("span", { class: "faint" }, ` per ${span(live.step_s).replace(/^1 /, "")}`));
    redraw();
  };
  return { figure: element("div", {}, title, plot), update };
}

const across = (width) => Math.max(width, 240) - PLOT.left - PLOT.right;
const stepAt = (left, width, steps) => Math.min(Math.max(Math.floor(((left - PLOT.left) / across(width)) * steps), 0), steps - 1);

/** The time of a step's beginning. */
function timeOf(live, step) {
  return new Date(Date.parse(live.start) + 1000 * live.step_s * step).toISOString();
}

const clock = (live, text) => (live.step_s < 3600 ? text.slice(11, 16) : live.step_s < 86400 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(5, 10));

function spokenStep(figure, live, step) {
  const values = live.versions.map((series) => [series, figure.of(series, step)]).filter(([, value]) => value !== null);
  const made = marksIn(live, step).map((mark) => `${versionName(mark.version)} was made by a ${mark.kind}`);
  return `${clock(live, timeOf(live, step))}: ${[...values.map(([series, value]) => `${versionName(series.version)} ${figure.shown(value)}`), ...made].join(", ") || "nothing"}`;
}

function marksIn(live, step) {
  const [from, to] = [timeOf(live, step), timeOf(live, step + 1)].map(Date.parse);
  return live.marks.filter((mark) => Date.parse(mark.at) >= from && Date.parse(mark.at) < to);
}

/** Round numbers from low to high. */
function rounded(low, high) {
  const size = 10 ** Math.floor(Math.log10((high - low) / 3 || 1));
  const step = [1, 2, 5, 10].map((times) => times * size).find((step) => (high - low) / step <= 3.5);
  const ticks = [];
  for (let tick = Math.floor(low / step + 1e-9); tick <= Math.ceil(high / step - 1e-9); tick += 1) ticks.push(Number((tick * step).toPrecision(12)));
  return ticks;
}

/** The axis of values: from 0, but for what may be anything. */
function valueAxis(figure, values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (figure.isFree && most > least) return rounded(least, most);
  if (figure.isFree && most !== 0) return rounded(Math.min(0, least), Math.max(0, most));
  return rounded(0, most || 1);
}

function drawLive(plot, card, figure, live, at) {
  const width = Math.max(plot.clientWidth, 240);
  const [inner, bottom] = [across(width), PLOT.height - PLOT.bottom];
  const steps = live.versions[0].calls.length;
  const lines = live.versions.map((series) => ({ version: series.version, values: series.calls.map((_, step) => figure.of(series, step)) }));
  const ticks = valueAxis(figure, lines.flatMap(({ values }) => values).filter((value) => value !== null));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const x = (step) => PLOT.left + (inner * (step + 0.5)) / steps;
  const y = (value) => bottom - ((value - low) / (high - low || 1)) * (bottom - PLOT.top);
  const svg = drawn("svg", { width, height: PLOT.height, viewBox: `0 0 ${width} ${PLOT.height}`, "aria-hidden": "true" });
  for (const tick of ticks) {
    svg.append(drawn("line", { class: "grid", x1: PLOT.left, x2: width - PLOT.right, y1: y(tick), y2: y(tick) }),
      drawn("text", { class: "axis", x: PLOT.left - 8, y: y(tick) + 4, "text-anchor": "end" }, figure.shown(tick)));
  }
  timeAxis(svg, live, steps, x, inner);
  for (const made of live.marks) {
    const left = PLOT.left + (inner * (Date.parse(made.at) - Date.parse(live.start))) / (1000 * live.step_s * steps);
    const glyph = mark(made.kind, made.yanked);
    glyph.setAttribute("transform", `translate(${left.toFixed(1)},11)`);
    svg.append(drawn("line", { class: "border", x1: left, x2: left, y1: 20, y2: bottom }), glyph);
  }
  for (const { version, values } of [...lines].reverse()) {
    for (const run of together(values)) {
      const points = run.map((step) => `${x(step).toFixed(1)},${y(values[step]).toFixed(1)}`);
      svg.append(run.length > 1 ? drawn("polyline", { class: `series ${colour(version)}`, points: points.join(" ") }) : drawn("circle", { class: `dot ${colour(version)}`, cx: x(run[0]), cy: y(values[run[0]]), r: 2.5 }));
    }
    if (at !== null && values[at] !== null) svg.append(drawn("circle", { class: `dot ${colour(version)}`, cx: x(at), cy: y(values[at]), r: 4 }));
  }
  if (at !== null) svg.append(drawn("line", { class: "cursor", x1: x(at), x2: x(at), y1: PLOT.top, y2: bottom }));
  card.hidden = at === null;
  plot.replaceChildren(svg, card);
  if (at !== null) liveTip(card, figure, live, at, x(at), width);
}

function timeAxis(svg, live, steps, x, inner) {
  const labels = Math.min(Math.max(Math.floor(inner / 90), 2), 5);
  for (let label = 0; label < labels; label += 1) {
    const step = Math.round(((steps - 1) * label) / (labels - 1));
    const anchor = label === 0 ? "start" : label === labels - 1 ? "end" : "middle";
    svg.append(drawn("text", { class: "axis", x: x(step), y: PLOT.height - 6, "text-anchor": anchor }, clock(live, timeOf(live, step))));
  }
}

/** The steps in a row that have a value. */
function together(values) {
  const found = [[]];
  values.forEach((value, step) => {
    if (value !== null) found[found.length - 1].push(step);
    else if (found[found.length - 1].length) found.push([]);
  });
  return found.filter((run) => run.length);
}

function liveTip(card, figure, live, at, left, width) {
  const rows = live.versions.map((series) => [series.version, figure.of(series, at)]).filter(([, value]) => value !== null);
  card.replaceChildren(element("b", {}, clock(live, timeOf(live, at))),
    rows.map(([version, value]) => element("div", {}, swatch(version), ` ${versionName(version)} `, element("b", {}, figure.shown(value)))).reduce((all, row) => (all.append(row), all), element("div", {})),
    ...marksIn(live, at).map((mark) => element("div", { class: "faint" }, `${mark.kind}: ${versionName(mark.version)}`)));
  const half = card.offsetWidth / 2;
  card.style.left = `${Math.min(Math.max(left, half), width - half)}px`;
  card.style.top = `${PLOT.height - PLOT.bottom + 4}px`;
}

/** A table that leads nowhere. */
function figuresTable(label, names, rows) {
  return element("div", { class: "scroll" }, element("table", { "aria-label": label }, heading(names), element("tbody", {}, rows)));
}

function objectivesCard({ objectives }) {
  const names = [["Objective"], ["Good", "number"], ["Target", "number"], ["Budget left", "bar-cell"], ["Burn rates", "optional"], ["Its window", "optional"]];
  return [element("h2", {}, "Objectives"), objectives.length
    ? figuresTable("Objectives", names, objectives.map(objectiveRow))
    : element("p", { class: "faint" }, "There are none: add them under ", element("code", {}, "slos"), " in ci/budgets.json.")];
}

function objectiveRow(objective) {
  const left = objective.budget_left;
  const tone = left <= 0 ? "bad" : left < 0.25 ? "warn" : "good";
  return element("tr", {},
    cell([element("b", {}, objective.display_name || objective.name), objective.description && element("div", { class: "faint" }, objective.description)]),
    cell(objective.compliance === null ? "–" : percent(objective.compliance), "number"), cell(percent(objective.target), "number"),
    cell(left === null ? element("span", { class: "faint" }, "No events") : [left <= 0 ? chip("bad", percent(left)) : percent(left), meter(Math.min(Math.max(left, 0), 1), tone)], "bar-cell"),
    cell(objective.burn_rates.filter(({ rate }) => rate !== null).map(({ window, rate }) => [element("span", { class: `chip ${rate > 6 ? "bad" : rate > 1 ? "warn" : "plain"}` }, `${window} ${Number(rate.toFixed(1))}`), " "]), "optional"),
    cell([history(objective), element("span", { class: "faint" }, ` ${objective.window}`)], "optional"));
}

/** The share of good events in the parts of the window; the lower end is where the lowest is. */
function history({ history }) {
  const shares = history.map(([good, total]) => (total ? good / total : null));
  const known = shares.filter((share) => share !== null);
  const low = Math.min(...known, 0.999);
  const [width, height] = [112, 22];
  const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  shares.forEach((share, part) => {
    if (share === null) return;
    const tall = 3 + ((height - 3) * (share - low)) / (1 - low);
    svg.append(drawn("rect", { class: "bar", x: (width * part) / shares.length, width: width / shares.length - 1, y: height - tall, height: tall }));
  });
  return svg;
}

function firingsCard({ firings }) {
  const names = [["Trigger"], ["Began"], ["State"], ["Evidence", "optional"], ["Came of it"]];
  return [element("h2", {}, "Firings of triggers"), firings.length
    ? figuresTable("Firings of triggers", names, firings.map(firingRow))
    : element("p", { class: "faint" }, "Nothing fired.")];
}

function firingRow(firing) {
  const open = firing.cleared === null;
  const traces = firing.traces.map(({ trace, why }) => element("li", {}, element("code", {}, trace.slice(0, 8)), ` ${why}`));
  const changed = firing.changed.map(({ version, what }) => element("li", {}, `${versionName(version)} was made shortly before: ${what}`));
  const examples = ((firing.figures && firing.figures.examples) || []).map((text) => element("li", {}, `“${text}”`));
  const actions = Object.entries(firing.actions).map(([action, { result }]) => element("div", { class: "faint" }, `${action}: ${result}`));
  const acknowledged = firing.acknowledged && element("div", { class: "faint" }, `acknowledged by ${firing.acknowledged.by}`);
  const { outcome } = firing;
  return element("tr", {},
    cell([element("b", {}, firing.rule), element("div", { class: "faint" }, firing.id)]),
    cell([moment(firing.began), firing.version && element("div", { class: "faint" }, versionName(firing.version))]),
    cell([open ? chip("bad", "open") : chip("good", "cleared"), element("div", { class: "faint" }, open ? acknowledged : moment(firing.cleared))]),
    cell([element("div", {}, firing.summary), element("ul", { class: "faint" }, traces, examples, changed)], "optional"),
    cell([outcome ? [outcome.version ? element("a", { href: `#/v/${outcome.version.replace(/^v/, "")}` }, outcome.version) : outcome.status, element("div", { class: "faint" }, outcome.run)] : element("span", { class: "faint" }, "–"), actions]));
}

function canariesCard({ canaries }) {
  const names = [["Canary"], ["Started"], ["Share", "number"], ["Against"], ["State"]];
  return [element("h2", {}, "Canaries"), canaries.length
    ? figuresTable("Canaries", names, canaries.map(canaryRow))
    : element("p", { class: "faint" }, "There was none: ", element("code", {}, "agent canary start"), " serves staging to a share of the conversations.")];
}

function canaryRow({ id, started, version, design, decision, end }) {
  const outcome = end ? end.outcome : decision ? `decided: ${decision.verdict}` : "running";
  const tone = { promoted: "good", withdrawn: "bad", refused: "bad" }[outcome] || "plain";
  const made = end && end.version ? [" ", element("a", { href: `#/v/${end.version.replace(/^v/, "")}` }, versionName(end.version))] : null;
  const reason = (end || decision || {}).reason;
  return element("tr", {},
    cell(element("b", {}, id)), cell(moment(started)), cell(`${design.share} %`, "number"), cell(versionName(version)),
    cell([chip(tone, outcome), made, reason && element("div", { class: "faint" }, reason)]));
}

function trafficCard({ versions }) {
  const names = [["Version"], ["Calls", "number"], ["Errors", "number"], ["Median", "number"], ["p95", "number"], ["Mean reward", "number"], ["Cost", "number"]];
  return [element("h2", {}, "Versions in this range"), versions.length
    ? figuresTable("Versions in this range", names, versions.map(trafficRow))
    : element("p", { class: "faint" }, "No calls and no rewards.")];
}

function trafficRow({ version, total }) {
  const or = (value, shown) => (value === null ? "–" : shown(value));
  const isKnown = state.versions.some((entry) => entry.version === version);
  const reward = total.reward_mean === null ? "–" : [plain(total.reward_mean), element("span", { class: "faint" }, ` of ${total.rewards.toLocaleString("en")}`)];
  return element("tr", {}, cell([swatch(version), " ", isKnown ? element("a", { href: `#/v/${version}` }, versionName(version)) : versionName(version)]),
    cell(total.calls.toLocaleString("en"), "number"), cell(total.calls ? percent(total.errors / total.calls) : "–", "number"),
    cell(or(total.p50_ms, duration), "number"), cell(or(total.p95_ms, duration), "number"), cell(reward, "number"), cell(or(total.cost_usd, dollars), "number"));
}
