// The scores of the versions: a line of the scores, a mark for the kind of each version.
const SVG = "http://www.w3.org/2000/svg";
const drawn = (name, attributes, ...children) => filled(document.createElementNS(SVG, name), attributes, children);
const MARGIN = { left: 46, right: 18, top: 34, bottom: 30 };
const HEIGHT = 260;

/** A mark around 0,0: a circle for a promotion, a square on its corner for a release, a triangle for a rollback. */
function mark(kind, isYanked) {
  const shape = kind === "release" ? drawn("path", { d: "M0-7.5 7.5 0 0 7.5-7.5 0Z" }) : kind === "rollback" ? drawn("path", { d: "M-7-5H7L0 7Z" }) : drawn("circle", { r: 5.5 });
  shape.setAttribute("class", `mark ${kind || "other"}${isYanked ? " yanked" : ""}`);
  return shape;
}

/** The axis: round numbers around the values, so that differences are visible. */
function scale(scores) {
  const [least, most] = [Math.min(...scores, 1), Math.max(...scores, 0)];
  const room = Math.max((most - least) * 0.15, 0.02);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25].find((step) => (most - least + 2 * room) / step <= 5) || 0.25;
  const [low, high] = [Math.max(0, Math.floor((least - room) / step) * step), Math.min(1, Math.ceil((most + room) / step) * step)];
  const ticks = [];
  for (let tick = low; tick <= high + 1e-9; tick += step) ticks.push(tick);
  return { low, high, ticks };
}

function spoken(entry, summary, tier) {
  return `${entry.tag}, ${entry.kind || "tag"}, ${maker(entry)}, ${tier} score ${number(summary.score)}${entry.yanked ? ", out of service" : ""}`;
}

/** Draws into `plot`, at its width; oldest on the left. */
function draw(plot, entries, tier) {
  const width = Math.max(plot.clientWidth, 280);
  const inner = width - MARGIN.left - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const scored = entries.map((entry) => summaryOf(entry, tier)).filter(Boolean);
  const { low, high, ticks } = scale(scored.map((summary) => summary.score));
  const x = (index) => MARGIN.left + (entries.length < 2 ? inner / 2 : (inner * index) / (entries.length - 1));
  const y = (score) => bottom - ((score - low) / (high - low || 1)) * (bottom - MARGIN.top);
  const svg = drawn("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group", "aria-label": `${tier} score over the versions, oldest first` });
  for (const tick of ticks) {
    svg.append(drawn("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
      drawn("text", { class: "axis", x: MARGIN.left - 10, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)));
  }
  minorLines(svg, entries, x, bottom);
  const points = entries.map((entry, index) => ({ entry, index, summary: summaryOf(entry, tier) }));
  for (const run of runs(points)) {
    const path = run.map((point) => `${x(point.index).toFixed(1)},${y(point.summary.score).toFixed(1)}`);
    svg.append(drawn("polyline", { class: "trend", points: path.join(" ") }));
  }
  const card = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  let labelled = -Infinity;
  const measured = points.filter((point) => point.summary);
  const last = measured[measured.length - 1];
  for (const { entry, index, summary } of measured) {
    const at = [x(index), y(summary.score)];
    const stop = drawn("a", { href: `#/v/${entry.version}`, class: "stop", transform: `translate(${at[0].toFixed(1)},${at[1].toFixed(1)})`, tabindex: index === last.index ? "0" : "-1", "aria-label": spoken(entry, summary, tier) },
      drawn("circle", { r: 14, class: "reach" }), mark(entry.kind, entry.yanked));
    const show = () => tip(card, entry, summary, tier, at, width);
    const hide = () => { card.hidden = true; };
    for (const [name, listener] of [["mouseenter", show], ["focus", show], ["mouseleave", hide], ["blur", hide]]) stop.addEventListener(name, listener);
    svg.append(stop);
    if (at[0] - labelled > 64 && (at[0] < width - 120 || index === entries.length - 1)) {
      labelled = at[0];
      svg.append(drawn("text", { class: "axis", x: at[0], y: HEIGHT - 8, "text-anchor": index === entries.length - 1 && entries.length > 1 ? "end" : "middle" }, entry.tag));
    }
  }
  plot.replaceChildren(svg, card);
}

/** Versions in a row that were measured: the line has a gap at each that was not. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point.summary) found[found.length - 1].push(point);
    else if (found[found.length - 1].length) found.push([]);
  }
  return found.filter((run) => run.length > 1);
}

/** One stop for the Tab key, and the arrows from there. An SVG with a focus listener would take the focus itself, so its parent has it. */
function walkable(plot) {
  plot.addEventListener("focusin", (event) => {
    if (!event.target.matches(".stop")) return;
    for (const stop of plot.querySelectorAll(".stop")) stop.setAttribute("tabindex", stop === event.target ? "0" : "-1");
  });
  return withKeys(plot, ".stop", ["ArrowLeft", "ArrowRight"]);
}

/** Where a minor line begins. */
function minorLines(svg, entries, x, bottom) {
  entries.forEach((entry, index) => {
    const before = entries[index - 1];
    if (before && before.line === entry.line) return;
    const at = before ? (x(index) + x(index - 1)) / 2 : x(index) - 12;
    if (before) svg.append(drawn("line", { class: "border", x1: at, x2: at, y1: 12, y2: bottom }));
    svg.append(drawn("text", { class: "line-name", x: at + 6, y: 20 }, entry.line));
  });
}

function tip(card, entry, summary, tier, [left, top], width) {
  card.replaceChildren(element("b", {}, entry.tag), element("span", { class: "faint" }, ` ${entry.kind || ""} · ${maker(entry)}`),
    element("div", {}, `${tier} ${number(summary.score)} · ${summary.passed} of ${summary.cases} passed`),
    entry.yanked && element("div", { class: "warned" }, "out of service"));
  card.hidden = false;
  const half = card.offsetWidth / 2;
  card.style.left = `${Math.min(Math.max(left, half), width - half)}px`;
  card.style.top = `${top > 110 ? top - card.offsetHeight - 14 : top + 18}px`;
}

function legend() {
  const kinds = [["promotion", "promotion: learned"], ["release", "release: new code"], ["rollback", "rollback"]];
  const sign = (kind, isYanked) => drawn("svg", { width: 18, height: 18, viewBox: "-9 -9 18 18", "aria-hidden": "true" }, mark(kind, isYanked));
  return element("ul", { class: "legend" }, kinds.map(([kind, name]) => element("li", {}, sign(kind, false), name)), element("li", {}, sign("promotion", true), "out of service"));
}
