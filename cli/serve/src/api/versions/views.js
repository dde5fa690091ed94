// The views: all versions, one version, two compared, the cases of a tier, one case.
const DIRECTIONS = { worse: "bad", better: "good" };
const OUTCOMES = { passed: "good", failed: "bad", errored: "bad" };
const LEVELS = { major: "bad", minor: "warn", patch: "plain" };
const FILES = { added: "good", removed: "bad" };
const WITHHELD = { "held-out": "lines withheld (held-out cases)", binary: "binary", "too-large": "too large to compare here" };
const CHANGES_SHOWN = 12;
const CASES_SHOWN = 100;

const chip = (tone, text) => element("span", { class: `chip ${tone}` }, text);
const cell = (content, kind) => element("td", { class: kind }, content);
const heading = (names) => element("thead", {}, element("tr", {}, names.map(([name, kind]) => element("th", { scope: "col", class: kind }, name))));

/** A table whose rows follow their first link. */
function listing(label, names, rows) {
  const body = element("tbody", {}, rows);
  body.addEventListener("click", (event) => {
    if (event.target.closest("a") || String(getSelection())) return;
    const link = event.target.closest("tr").querySelector("a");
    if (link) link.click();
  });
  return element("div", { class: "scroll" }, withKeys(element("table", { "aria-label": label }, heading(names), body), "tr.row td:first-child a"));
}

function meter(value, tone) {
  const fill = element("i", {});
  fill.style.width = `${(100 * value).toFixed(1)}%`;
  if (tone) fill.style.background = `var(--${tone})`;
  return element("div", { class: "meter", "aria-hidden": "true" }, fill);
}

/** A button for each of a few choices; `choose` gets the one that was pressed. */
function choice(label, options, current, choose) {
  const buttons = options.map(([value, name]) => element("button", { type: "button", "aria-pressed": String(value === current), onclick: () => choose(value) }, name));
  return withKeys(element("div", { class: "choice", role: "group", "aria-label": label }, buttons), "button", ["ArrowLeft", "ArrowRight"]);
}

function overview() {
  if (!state.versions.length) {
    return element("section", { class: "card" }, element("h2", {}, "No version yet"), element("p", { class: "faint" }, "`agent release` makes the first one."));
  }
  const tiers = tiersThere();
  if (!tiers.includes(state.tier)) state.tier = mostMeasured(tiers);
  return [chartCard(tiers), tableCard()];
}

/** The tier that most of the versions have a score on, the larger of two. */
function mostMeasured(tiers) {
  const measured = (tier) => state.versions.filter((entry) => summaryOf(entry, tier)).length;
  return tiers.reduce((best, tier) => (best && measured(best) >= measured(tier) ? best : tier), null);
}

function chartCard(tiers) {
  const plot = walkable(element("div", { class: "chart" }));
  const oldestFirst = [...state.versions].reverse();
  if (state.tier) new ResizeObserver(() => draw(plot, oldestFirst, state.tier)).observe(plot);
  else plot.append(element("p", { class: "faint" }, "No evaluation of these versions is in the object store."));
  const choose = (tier) => { state.tier = tier; show(true); };
  return element("section", { class: "card", "aria-label": "Scores" },
    element("div", { class: "title" }, element("h2", {}, state.tier ? `Score on ${state.tier}, version by version` : "Score, version by version"), tiers.length > 1 && choice("Tier", tiers.map((tier) => [tier, tier]), state.tier, choose)),
    plot, legend(), element("p", { class: "hint keys-hint" }, element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " go along the line, ", element("kbd", {}, "Enter"), " opens, ", element("kbd", {}, "Esc"), " goes back."));
}

function tableCard() {
  const names = [["Version"], ["Made by"], [state.tier ? `Score (${state.tier})` : "Score", "bar-cell"], ["Passed", "number optional"], ["Created (UTC)", "optional"], ["Compare"]];
  const older = element("button", { class: "action more", type: "button", onclick: async () => { older.disabled = true; await loadVersions(state.next); show(true); } }, "Older versions");
  return element("section", { class: "card", "aria-label": "Versions" },
    element("div", { class: "title" }, element("h2", {}, state.next ? `The newest ${state.versions.length} versions` : count(state.versions.length, "version")), picker()),
    listing("Versions", names, state.versions.map(versionRow)), state.next && older);
}

/** A difference of scores with its sign; nothing where there is none to show. */
function delta(by) {
  if (by === null) return null;
  return element("span", { class: `delta ${by < 0 ? "down" : "up"}` }, `${by < 0 ? "−" : "+"}${number(Math.abs(by))}`);
}

function versionRow(entry) {
  const summary = summaryOf(entry, state.tier);
  const base = entry.base && element("a", { href: `#/diff/${entry.base}...${entry.version}`, "aria-label": `What changed from v${entry.base} to ${entry.tag}` }, `with v${entry.base}`);
  return element("tr", { class: `row${entry.yanked ? " is-yanked" : ""}` },
    cell([element("a", { href: `#/v/${entry.version}` }, entry.tag), " ", entry.yanked && chip("warn", "yanked")]),
    cell([chip(entry.kind || "plain", entry.kind || "tag"), " ", element("span", { class: "faint" }, maker(entry))]),
    cell(summary ? [number(summary.score), " ", delta(gainOf(entry, state.tier)), meter(summary.score)] : element("span", { class: "faint" }, "Not measured"), "bar-cell"),
    cell(summary ? `${summary.passed} / ${summary.cases}` : "", "number optional"), cell(moment(entry.created), "optional faint"), cell(base));
}

/** Any two of the versions that are loaded. */
function picker(from, to) {
  const [newest, before] = state.versions;
  if (!before) return null;
  const select = (label, chosen) => element("select", { "aria-label": label }, known(chosen).map((version) => element("option", { value: version, selected: version === chosen }, `v${version}`)));
  const [one, two] = [select("From", from || before.version), select("To", to || newest.version)];
  const go = (event) => { event.preventDefault(); location.hash = `#/diff/${one.value}...${two.value}`; };
  return element("form", { class: "picker", onsubmit: go, "aria-label": "Compare two versions" }, one, element("span", { class: "faint", "aria-hidden": "true" }, "…"), two, element("button", { class: "action" }, "Compare"));
}

function known(chosen) {
  const versions = state.versions.map((entry) => entry.version);
  return versions.includes(chosen) ? versions : [chosen, ...versions];
}

async function versionView(version) {
  const parts = ["", "/provenance", "/evaluations"].map((part) => ask(`v1/versions/${version}${part}`));
  const [entry, provenance, evaluations, kpis] = await Promise.all([...parts, ask(`v1/kpi?version=${version}`)]);
  const change = entry.base && await changeBetween(entry.base, version, askIfThere);
  return [
    element("div", { class: "title large" }, element("h2", {}, entry.tag, chip(entry.kind || "plain", entry.kind || "tag"), entry.yanked && chip("warn", `undone by v${entry.evidence.undone_by}`)), picker(entry.base, version)),
    element("div", { class: "two" }, madeCard(entry, provenance), learnedCard(provenance)),
    kpis.versions.map(servedCard),
    element("section", { class: "cards", "aria-label": "Tiers" }, Object.entries(evaluations.tiers || {}).map(([tier, summary]) => tierCard(version, tier, summary))),
    change && element("section", { "aria-label": `What changed since v${entry.base}` }, changeCards(change, ` since v${entry.base}`)),
  ];
}

function madeCard(entry, provenance) {
  const facts = [
    ["made by", `${maker(entry)}${provenance.author ? `, committed by ${provenance.author}` : ""}`],
    ["from", entry.base && element("a", { href: `#/v/${entry.base}` }, `v${entry.base}`)],
    ["created", `${moment(entry.created)} UTC`], ["commit", element("code", {}, entry.commit)], ["state", entry.state && element("code", {}, entry.state)],
    ["contract", entry.contract && element("code", {}, entry.contract.slice(0, 19))], ["evaluation", entry.eval && element("code", {}, entry.eval.digest.slice(0, 19))],
  ];
  return element("section", { class: "card" }, element("h2", {}, "Provenance"), element("dl", {}, facts.filter(([, value]) => value).map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
}

function learnedCard({ feedback, commits, journal, version, undoes }) {
  const why = [
    feedback.map((item) => element("blockquote", {}, item.text || item.id, element("div", { class: "faint" }, [item.source, item.at && moment(item.at)].filter(Boolean).join(", ")))),
    commits.length > 0 && element("ul", { class: "list more" }, commits.map((commit) => element("li", {}, element("code", { class: "faint" }, short(commit.commit)), commit.subject))),
    journal && element("p", {}, journal.kept ? `${count(journal.signals, "signal")}: ${Object.entries(journal.tools).map(([tool, times]) => `${tool} ${times}×`).join(", ")}.` : "Its Journal is not in the object store."),
    journal && journal.kept && signalList(version),
    undoes.length > 0 && element("p", {}, `It takes ${undoes.map((undone) => `v${undone}`).join(", ")} out of service.`),
  ].flat().filter(Boolean);
  return element("section", { class: "card" }, element("h2", {}, "Why"), why.length ? why : element("p", { class: "faint" }, "Nothing is recorded."));
}

/** The first of its signals, loaded on demand. */
function signalList(version) {
  const rows = element("ul", { class: "list" });
  const open = async (event) => {
    if (!event.target.open || rows.children.length) return;
    const page = await ask(`v1/versions/${version}/signals?limit=50`);
    rows.append(...page.signals.map((signal) => element("li", {}, element("code", {}, signal.tool), element("code", { class: "faint" }, compact(signal.arguments)))));
    if (page.next !== null) rows.append(element("li", { class: "faint" }, `and ${(page.count - page.signals.length).toLocaleString("en")} more`));
  };
  return element("details", { ontoggle: open }, element("summary", {}, "The first of them"), rows);
}

/** Its calls, errors, latency and rewards. */
function servedCard(kpi) {
  const figure = (name, shown) => element("div", { class: "figure" }, element("b", {}, shown), element("span", {}, name));
  const rate = kpi.calls ? `${((100 * kpi.errors) / kpi.calls).toFixed(1)} %` : "–";
  return element("section", { class: "card" }, element("div", { class: "title" }, element("h2", {}, "In service"), element("span", { class: "faint" }, `${moment(kpi.since)} to ${moment(kpi.until)} UTC`)),
    element("div", { class: "figures served-figures" }, figure("calls", kpi.calls.toLocaleString("en")), figure("errors", rate), figure("p95", kpi.p95_ms === null ? "–" : `${kpi.p95_ms.toFixed(1)} ms`),
      figure("conversations", kpi.conversations.toLocaleString("en")), figure(`mean of ${count(kpi.rewards.count, "reward")}`, kpi.rewards.mean === null ? "–" : number(kpi.rewards.mean)), figure("feedback items", kpi.feedback.toLocaleString("en"))));
}

function tierCard(version, tier, summary) {
  const rate = summary.cases ? summary.passed / summary.cases : 0;
  const figure = (name, shown, share, tone) => element("div", { class: "figure" }, element("b", {}, shown), share === undefined ? element("div", { class: "no meter" }) : meter(share, tone), element("span", {}, name));
  const verdict = { pass: "good", fail: "bad" }[summary.verdict] || "warn";
  const failed = summary.failed + summary.errored;
  return element("article", { class: "card" }, element("header", {}, element("h2", {}, tier), chip(verdict, summary.verdict.replaceAll("-", " "))),
    element("div", { class: "figures" }, figure("passed", `${summary.passed} / ${summary.cases}`, rate), figure("score", number(summary.score), summary.score), figure("p50", `${summary.p50_ms.toFixed(1)} ms`), figure("p95", `${summary.p95_ms.toFixed(1)} ms`)),
    summary.heldout && element("p", { class: "faint" }, `Held out: score ${number(summary.heldout.score)} over ${count(summary.heldout.cases, "case")}`),
    summary.reasons && element("ul", { class: `reasons ${verdict}` }, summary.reasons.map((reason) => element("li", {}, reason))),
    element("p", { class: "more" }, element("a", { href: `#/v/${version}/${tier}` }, `All ${count(summary.cases, "case")}`), failed > 0 && [" · ", element("a", { href: `#/v/${version}/${tier}?failed` }, `${failed.toLocaleString("en")} that did not pass`)]));
}

/** The difference of two versions with its lines of code; null where `ask` finds a version missing. */
async function changeBetween(from, to, ask) {
  const [change, code] = await Promise.all([ask(`v1/diff/${from}...${to}?limit=500`), ask(`v1/diff/${from}...${to}/code`)]);
  return change && code && { ...change, code };
}

async function diffView(from, to) {
  const change = await changeBetween(from, to, ask);
  return [element("div", { class: "title large" }, element("h2", {}, `v${from}`, element("span", { class: "arrow", "aria-label": "to" }, "→"), `v${to}`), picker(from, to)), changeCards(change, "")];
}

function changeCards(change, since) {
  return [
    element("div", { class: "two" }, contractCard(change.contract, `Contract${since}`), stateCard(change.state, `State${since}`)),
    codeCard(change.code, `Code${since}`),
    change.tiers.map((tier) => flipsCard(change, tier, `Cases of ${tier.tier}${since}`)),
    change.missing.length > 0 && element("section", { class: "card" }, element("h2", {}, "Not known"), element("ul", { class: "list" }, change.missing.map((missing) => element("li", {}, `${missing.what} of ${missing.of} is not in the object store:`, element("code", {}, missing.how))))),
  ];
}

function contractCard(contract, title) {
  const changes = contract ? contract.changes : [];
  return element("section", { class: "card" }, element("h2", {}, title),
    element("ul", { class: "list" }, changes.map((rule) => element("li", {}, chip(LEVELS[rule.level] || "plain", rule.level), element("span", {}, rule.tool && [element("code", {}, rule.tool), " "], rule.message)))),
    !changes.length && element("p", { class: "faint" }, contract ? "The same." : "Not known: see below."));
}

/** The files that differ, each with its lines where it is opened. */
function codeCard({ files, left_off: leftOff }, title) {
  const sum = (side) => files.reduce((total, file) => total + (file[side] || 0), 0);
  const summary = files.length > 0 && element("span", { class: "faint" }, count(files.length + leftOff, "file"), " ", lineCounts(sum("added"), sum("removed")));
  const list = element("div", { class: "files" }, files.slice(0, CHANGES_SHOWN).map(fileEntry));
  const rest = element("button", { class: "action more", type: "button", onclick: () => { list.append(...files.slice(CHANGES_SHOWN).map(fileEntry)); rest.remove(); } }, `${files.length - CHANGES_SHOWN} more files`);
  return element("section", { class: "card", "aria-label": title }, element("div", { class: "title" }, element("h2", {}, title), summary),
    files.length ? list : element("p", { class: "faint" }, "The same."), files.length > CHANGES_SHOWN && rest,
    leftOff > 0 && element("p", { class: "faint more" }, `and ${count(leftOff, "file")} that are not listed; `, element("code", {}, "git diff"), " shows them"));
}

function lineCounts(added, removed) {
  return element("span", { class: "lines-changed" }, element("span", { class: "delta up" }, `+${added.toLocaleString("en")}`), " ", element("span", { class: "delta down" }, `−${removed.toLocaleString("en")}`));
}

/** A line with the path; its hunks are made when it is opened first. */
function fileEntry(file) {
  const name = [element("code", {}, file.path), file.status !== "modified" && chip(FILES[file.status], file.status), file.withheld ? element("span", { class: "faint" }, WITHHELD[file.withheld]) : lineCounts(file.added, file.removed)];
  if (file.withheld || !(file.hunks.length || file.left_off)) return element("div", { class: "file" }, name);
  const holder = element("div", { class: "hunks", tabindex: "0", role: "region", "aria-label": `Changes of ${file.path}` });
  const open = (event) => {
    if (!event.target.open || holder.children.length) return;
    holder.append(...file.hunks.map(hunkLines));
    if (file.left_off) holder.append(element("p", { class: "faint" }, `${count(file.left_off, "line")} more: `, element("code", {}, "git diff"), " shows them"));
  };
  return element("details", { class: "file", ontoggle: open }, element("summary", {}, name), holder);
}

const SIDES = { "+": ["added", "added: "], "-": ["removed", "removed: "] };

function hunkLines({ header, lines }) {
  const line = (text) => {
    const [side, spoken] = SIDES[text[0]] || ["", ""];
    return element("div", { class: side }, spoken && element("span", { class: "unseen" }, spoken), text);
  };
  return element("div", { class: "hunk" }, element("div", { class: "faint" }, header), lines.map(line));
}

/** Numbers by how much they changed relative to what they were, and before them what is new, gone or of another kind. */
function sizeOfChange({ old, new: now }) {
  if (typeof old !== "number" || typeof now !== "number") return Infinity;
  return Math.abs(now - old) / Math.max(Math.abs(old), Math.abs(now), Number.MIN_VALUE);
}

function stateCard(unsorted, title) {
  const sizes = new Map(unsorted.map((change) => [change, sizeOfChange(change)]));
  const changes = [...unsorted].sort((one, two) => (sizes.get(two) === sizes.get(one) ? 0 : sizes.get(two) - sizes.get(one)));
  const side = (name, value) => element("div", { class: value === undefined || value === null ? "nothing" : name }, compact(value));
  const all = changes.map((change) => [element("code", {}, change.path), side("old", change.old), side("new", change.new)]);
  const values = element("div", { class: "values" }, all.slice(0, CHANGES_SHOWN));
  const rest = element("button", { class: "action more", type: "button", onclick: () => { values.append(...all.slice(CHANGES_SHOWN).flat()); rest.remove(); } }, `${(all.length - CHANGES_SHOWN).toLocaleString("en")} more values`);
  return element("section", { class: "card" }, element("h2", {}, title), all.length ? values : element("p", { class: "faint" }, "The same."), all.length > CHANGES_SHOWN && rest);
}

function flipsCard(change, tier, title) {
  const gain = tier.to.score - tier.from.score;
  const figures = element("div", { class: "line" },
    element("span", {}, "score ", element("b", {}, `${number(tier.from.score)} → ${number(tier.to.score)}`), " ", delta(gain)),
    element("span", {}, `passed ${tier.from.passed} → ${tier.to.passed} of ${tier.to.cases}`), element("span", {}, `p95 ${tier.from.p95_ms.toFixed(1)} → ${tier.to.p95_ms.toFixed(1)} ms`));
  const card = (content) => element("section", { class: "card against" }, element("div", { class: "title" }, element("h2", {}, title)), figures, content);
  if (!tier.cases) return card(element("p", { class: "warned" }, `Other ${tier.differing.join(" and ")} judged them, so no case is paired.`));
  const { better, worse, fixed, broken, pairs, flips, significance } = tier.cases;
  const chance = (p) => (p < 0.001 ? "p < 0.001" : `p = ${number(p)}`);
  const verdict = element("p", { class: "faint" }, `${better} better, ${worse} worse of ${pairs} shared cases (${chance(significance.scores_p)}); ${fixed} now pass, ${broken} no longer do (${chance(significance.outcomes_p)}).`);
  return card([verdict, flips.length > 0 && flipTable(change.to_version, tier.tier, flips)]);
}

function flipTable(version, tier, flips) {
  const holder = element("div", {});
  const fill = (shown, limit = CHANGES_SHOWN) => {
    const rows = flips.filter((flip) => shown === "all" || flip.direction === shown);
    const visible = rows.slice(0, limit);
    const names = [["Case"], ["Was"], ["Is"], ["Change", "number"], ["Why", "optional"]];
    const options = [["all", `All ${flips.length}`], ...["worse", "better"].map((direction) => [direction, `${direction[0].toUpperCase()}${direction.slice(1)} ${flips.filter((flip) => flip.direction === direction).length}`])];
    const more = rows.length > visible.length && element("button", { class: "action more", type: "button", onclick: () => fill(shown, Infinity) }, `${rows.length - visible.length} more cases`);
    holder.replaceChildren(...[element("div", { class: "bar-tools more" }, choice("Which cases", options, shown, (chosen) => fill(chosen))), listing(`Cases of ${tier} that changed`, names, visible.map((flip) => flipRow(version, tier, flip))), more].filter(Boolean));
  };
  fill("all");
  return holder;
}

function flipRow(version, tier, flip) {
  const by = flip.to.score - flip.from.score;
  const side = (ended) => [chip(OUTCOMES[ended.outcome], ended.outcome), ` ${number(ended.score)}`];
  return element("tr", { class: "row" }, cell(element("a", { href: caseAt(version, tier, flip.id) }, flip.id), "id"), cell(side(flip.from)), cell(side(flip.to)),
    cell(delta(by), "number"), cell(element("span", { class: "faint" }, reasonOf(flip)), "optional"));
}

/** Why a case did not pass, or that the server withholds it. */
const reasonOf = ({ why, why_withheld: isWithheld }) => (isWithheld ? "withheld (held-out case)" : why || "");

const caseAt = (version, tier, id) => `#/v/${version}/${tier}/${encodeURIComponent(id)}`;

async function casesView(version, tier, outcome) {
  const path = (after) => `v1/versions/${version}/evaluations/${tier}?limit=${CASES_SHOWN}${outcome ? `&outcome=${outcome}` : ""}${after ? `&after=${encodeURIComponent(after)}` : ""}`;
  let page = await ask(path());
  const row = (result) => element("tr", { class: "row" }, cell(element("a", { href: caseAt(version, tier, result.id) }, result.id), "id"), cell(chip(OUTCOMES[result.outcome], result.outcome)), cell(number(result.score), "number"), cell(result.ms.toFixed(1), "number optional"), cell(element("span", { class: "faint" }, reasonOf(result)), "optional"));
  const table = listing(`Cases of ${tier}`, [["Case"], ["Outcome"], ["Score", "number"], ["ms", "number optional"], ["Why", "optional"]], page.cases.map(row));
  const more = element("button", { class: "action more", type: "button", onclick: async () => {
    page = await ask(path(page.next));
    table.querySelector("tbody").append(...page.cases.map(row));
    more.hidden = !page.next;
  } }, "More cases");
  more.hidden = !page.next;
  const options = [["", `All ${page.summary.cases}`], ...["passed", "failed", "errored"].filter((ended) => page.summary[ended]).map((ended) => [ended, `${ended[0].toUpperCase()}${ended.slice(1)} ${page.summary[ended]}`])];
  const choose = (chosen) => { location.hash = `#/v/${version}/${tier}${chosen ? `?${chosen}` : ""}`; };
  return element("section", { class: "card" }, element("div", { class: "title" }, element("h2", {}, `Cases of ${tier} at v${version}`), choice("Outcome", options, outcome, choose)),
    page.cases.length ? table : element("p", { class: "faint" }, "There are none."), more);
}

async function caseView(version, tier, id) {
  const { result, definition } = await ask(`v1/versions/${version}/evaluations/${tier}/${encodeURIComponent(id)}`);
  const facts = [["score", number(result.score)], ["time", `${result.ms.toFixed(2)} ms`], ["where", result.place], ["weight", result.weight === 1 ? null : String(result.weight)],
    ["tags", (result.tags || []).join(", ")], ["state it read", result.reads && (result.reads.join(", ") || "none")], ["runs", result.runs && JSON.stringify(result.runs)],
    ["what broke it", result.outcome !== "passed" && element("code", {}, `agent bisect ${/^[\w.:/@-]+$/.test(id) ? id : `'${id.replaceAll("'", "'\\''")}'`} --tier ${tier}`)]];
  const block = (title, value) => value !== undefined && [element("h3", {}, title), element("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2))];
  const asked = definition ? [block(definition.tool ? `Call of ${definition.tool}` : "Call", definition.arguments !== undefined ? definition.arguments : definition.turns), block("Expected", definition.expect), result.shown && block("Answered", result.shown.answered)]
    : element("p", { class: "faint" }, /\/heldout\//.test(result.place || "") ? "The case is held out." : "The case cannot be read from the commit.");
  return [element("section", { class: "card part" }, element("div", { class: "title large" }, element("h2", {}, id, chip(OUTCOMES[result.outcome], result.outcome))),
    reasonOf(result) && (result.why_withheld ? [element("h3", {}, "Why"), element("p", { class: "faint" }, reasonOf(result), ": a server that requires a token (", element("code", {}, "AGENT_TOKEN"), ") shows it.")] : block("Why", result.why)), asked,
    element("h3", {}, "Result"), element("dl", {}, facts.filter(([, value]) => value).map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]))), await pastOf(version, tier, id)];
}

/** The outcome of the case in the neighbouring versions. */
async function pastOf(version, tier, id) {
  const scored = state.versions.filter((entry) => summaryOf(entry, tier));
  const at = Math.max(0, scored.findIndex((entry) => entry.version === version) - 6);
  const around = await Promise.all(scored.slice(at, at + 12).map(async (entry) => [entry, await askIfThere(`v1/versions/${entry.version}/evaluations/${tier}/${encodeURIComponent(id)}`)]));
  const rows = around.filter(([, there]) => there).map(([entry, { result }]) => element("tr", { class: "row" }, cell([element("a", { href: caseAt(entry.version, tier, id), "aria-current": entry.version === version && "true" }, entry.tag), entry.version === version && element("span", { class: "faint" }, " this one")]),
    cell(chip(OUTCOMES[result.outcome], result.outcome)), cell([number(result.score), meter(result.score, OUTCOMES[result.outcome])], "bar-cell")));
  return rows.length > 1 && element("section", { class: "card" }, element("h2", {}, "In other versions"), listing("The case in other versions", [["Version"], ["Outcome"], ["Score", "bar-cell"]], rows));
}

show(true);
