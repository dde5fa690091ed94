//! The page of `agent serve versions` in a real Chromium, driven through its debugging pipe.
//! Without one on this machine there is nothing to run.

use crate::rest::Api;
use crate::served::Served;
use crate::telemetry;
use crate::versions::{FOLDER, Registry};
use crate::world::AGENT;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::version::Kind;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const EVIL: &str = "<img src=x onerror=document.title='owned'>";

struct Browser {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    /// What the page complained about.
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    #[expect(
        clippy::disallowed_methods,
        clippy::print_stderr,
        reason = "the test starts its own browser, and says where there is none"
    )]
    fn start() -> Option<Self> {
        let there = |name: &&str| {
            Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        let Some(program) =
            ["chromium", "chromium-browser", "google-chrome", "chrome"].into_iter().find(there)
        else {
            eprintln!("skipped: there is no Chromium on PATH");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // it speaks on descriptors 3 and 4
        let script = format!(
            "exec {program} --headless --no-sandbox --disable-gpu --user-data-dir='{}' \
            --remote-debugging-pipe about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1",
            profile.path().display()
        );
        let mut process = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) =
            (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut browser = Self {
            process,
            stdin,
            stdout,
            session: None,
            calls: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target =
            browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.call(
            "Target.attachToTarget",
            &json!({"targetId": target,
            "flatten": true}),
        )["sessionId"]
            .clone();
        browser.session = session.as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        // as if its window were the one in front
        browser.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        Some(browser)
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut request = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.stdin
            .write_all(request.to_string().as_bytes())
            .and_then(|()| self.stdin.write_all(&[0]))
            .expect("the browser listens");
        loop {
            let mut bytes = Vec::new();
            self.stdout.read_until(0, &mut bytes).expect("the browser speaks");
            assert_eq!(bytes.pop(), Some(0), "the browser is gone");
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    self.complaints.push(message["params"]["exceptionDetails"].to_string());
                }
                Some("Log.entryAdded") if message["params"]["entry"]["level"] != "verbose" => {
                    self.complaints.push(message["params"]["entry"].to_string());
                }
                _ => {}
            }
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    fn value(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            &json!({"expression": expression, "awaitPromise": true, "returnByValue": true}),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits in the page itself until something holds there.
    #[track_caller]
    fn until(&mut self, condition: &str) {
        let wait = format!(
            "new Promise((done) => {{ const since = Date.now(); const look = () => ({condition}) ? \
            done(true) : Date.now() - since > 20000 ? done(false) : setTimeout(look, 10); look(); \
            }})"
        );
        let held = self.value(&wait);
        let shown = self.value("`${location.href}\\n${document.body.innerText}`");
        assert_eq!(
            held,
            true,
            "{condition}\n{}\n{:?}",
            shown.as_str().unwrap_or_default(),
            self.complaints
        );
    }

    fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
    }

    fn key(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "ArrowLeft" => 37,
            _ => 40,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                &json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
                    "text": text}),
            );
        }
    }

    /// Controls and links that a screen reader could not name.
    fn nameless(&mut self) -> Vec<Value> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let interactive =
            ["link", "button", "combobox", "textbox", "table", "form", "region", "slider"];
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let nodes = nodes.filter(|node| {
            node["ignored"] == false
                && interactive.contains(&node["role"]["value"].as_str().unwrap_or_default())
        });
        nodes
            .filter(|node| node["name"]["value"].as_str().unwrap_or_default().is_empty())
            .cloned()
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn registry() -> Registry {
    let registry = Registry::new();
    for patch in 1..=5 {
        let evil = CaseResult {
            outcome: if patch == 3 { Outcome::Failed } else { Outcome::Passed },
            score: if patch == 3 { 0.0 } else { 1.0 },
            why: (patch == 3).then(|| EVIL.to_owned()),
            ..CaseResult::passed(EVIL)
        };
        registry.publish_with(Kind::Promotion, patch, patch, &[], &[CaseResult::passed("a"), evil]);
    }
    registry
}

#[test]
fn the_page_is_usable_by_keyboard() {
    let Some(mut browser) = Browser::start() else { return };
    let registry = registry();
    let api = Api::versions(&registry.world, FOLDER);
    browser.open(&format!("http://{}/", api.address));
    browser.until(
        "document.querySelectorAll('tr.row').length === 6 && \
        document.querySelectorAll('.stop').length === 5",
    );
    assert_eq!(
        browser.value("document.querySelectorAll('.trend')[0].points.length"),
        5,
        "the first has no results"
    );
    assert_eq!(browser.value("document.querySelector('th.bar-cell').textContent"), "Score (micro)");
    assert_eq!(
        browser.value("[...document.querySelectorAll('td.bar-cell')].pop().textContent"),
        "Not measured"
    );
    assert_eq!(browser.nameless(), Vec::<Value>::new());
    // to the newest mark of the chart, and two back
    let passed: Vec<_> = (0..6)
        .map(|_| {
            browser.key("Tab");
            browser.value("document.activeElement.outerHTML.slice(0, 60)")
        })
        .take_while(|element| !element.as_str().unwrap().contains("stop"))
        .collect();
    assert!(passed.len() < 6, "{passed:?}");
    assert!(
        browser
            .value("document.activeElement.getAttribute('aria-label')")
            .as_str()
            .unwrap()
            .starts_with("v0.1.5, promotion")
    );
    browser.key("ArrowLeft");
    browser.key("ArrowLeft");
    assert_eq!(browser.value("document.querySelector('.tip b').textContent"), "v0.1.3");
    browser.key("Enter");
    browser.until("location.hash === '#/v/0.1.3' && document.activeElement.tagName === 'H2'");
    browser.until("document.querySelectorAll('table tr.row').length === 1");
    assert_eq!(browser.nameless(), Vec::<Value>::new());
    // to the case that came out otherwise
    browser.value("document.querySelector('table tr.row a').focus()");
    browser.key("Enter");
    browser.until("document.querySelectorAll('h2').length === 2");
    assert_eq!(browser.value("document.querySelector('h2').firstChild.textContent"), EVIL);
    assert_eq!(browser.value("document.querySelector('pre').textContent"), EVIL);
    for up in ["#/v/0.1.3/micro", "#/v/0.1.3", "#/"] {
        browser.key("Escape");
        browser.until(&format!(
            "location.hash === '{up}' && !document.querySelector('main').hasAttribute('aria-busy')"
        ));
    }
    assert_eq!(browser.value("document.images.length"), 0);
    assert_ne!(browser.value("document.title"), "owned");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn the_lines_of_code_that_two_versions_differ_in_are_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let registry = registry();
    // a release with a changed file, a held-out one and one of no text
    let git = |arguments: &[&str]| registry.world.git(FOLDER, arguments);
    registry.world.write(format!("{FOLDER}/runner/a.py"), format!("print('{EVIL}')\n"));
    registry.world.write(format!("{FOLDER}/tests/micro/heldout/b.jsonl"), "{\"id\": \"secret\"}\n");
    registry.world.write(format!("{FOLDER}/logo"), [0, 1, 2]);
    git(&["checkout", "-q", "--detach", "active"]);
    git(&["add", "runner", "tests", "logo"]);
    git(&["commit", "-q", "-m", "more"]);
    git(&["update-ref", "refs/heads/active", "HEAD"]);
    registry.publish_with(Kind::Release, 6, 6, &[], &[CaseResult::passed("a")]);
    let api = Api::versions(&registry.world, FOLDER);
    browser.open(&format!("http://{}/#/diff/0.1.5...0.1.6", api.address));
    browser.until("document.querySelectorAll('.file').length === 3");
    let shown =
        browser.value("document.querySelector('.files').innerText.split('\\n').filter(Boolean).map((line) => line.trim())");
    assert_eq!(
        shown,
        json!([
            "logo",
            "added",
            "binary",
            "runner/a.py",
            "added",
            "+1 −0",
            "tests/micro/heldout/b.jsonl",
            "added",
            "lines withheld (held-out cases)"
        ])
    );
    assert_eq!(browser.value("document.querySelectorAll('.hunk').length"), 0, "closed");
    browser.value("document.querySelector('details.file summary').focus()");
    browser.key("Enter");
    browser.until("document.querySelectorAll('.hunk .added').length === 1");
    assert_eq!(
        browser.value("document.querySelector('.hunk .added').lastChild.textContent"),
        format!("+print('{EVIL}')")
    );
    assert_eq!(browser.nameless(), Vec::<Value>::new());
    assert_ne!(browser.value("document.title"), "owned");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn the_page_is_responsive_has_a_dark_mode_and_prompts_for_the_token() {
    let Some(mut browser) = Browser::start() else { return };
    let registry = registry();
    let api = Api::start(
        registry
            .world
            .command(AGENT, FOLDER)
            .args(["serve", "versions", "--json"])
            .env("AGENT_TOKEN", "s3cret")
            .stdout(Stdio::piped()),
    );
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        &json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true}),
    );
    browser.open(&format!("http://{}/#/diff/0.1.2...0.1.3", api.address));
    browser.until("document.querySelector('input[type=password]')");
    assert_eq!(browser.nameless(), Vec::<Value>::new());
    browser.value("document.querySelector('input').focus()");
    browser.call("Input.insertText", &json!({"text": "s3cret"}));
    browser.key("Enter");
    browser.until("document.querySelectorAll('tr.row').length === 1");
    for place in ["#/", "#/v/0.1.3", "#/v/0.1.3/micro", "#/diff/0.1.2...0.1.3"] {
        browser.value(&format!("location.hash = '{place}'"));
        browser.until(&format!(
            "location.hash === '{place}' && document.querySelector('tr.row') && \
            !document.querySelector('main').hasAttribute('aria-busy')"
        ));
        assert_eq!(browser.value("document.documentElement.scrollWidth"), 360, "{place}");
    }
    let ground =
        |browser: &mut Browser| browser.value("getComputedStyle(document.body).backgroundColor");
    let light = ground(&mut browser);
    browser.call(
        "Emulation.setEmulatedMedia",
        &json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    assert_ne!(ground(&mut browser), light);
    // the first question without the token is what it complains about
    let others = browser.complaints.iter().filter(|complaint| !complaint.contains("401"));
    assert_eq!(others.count(), 0, "{:?}", browser.complaints);
}

/// Live traffic of a version whose name is markup, besides that of `v0.1.0`.
fn trafficked() -> Served {
    let served = telemetry::served();
    for question in ["a", "b", "c", ""] {
        served.agent(["run", "ask", &format!("question={question}"), "--conversation", "c1"]);
    }
    served.agent(["tune", "reward", "value=0.5", "--conversation", "c1"]).ok();
    let slos = json!([
        {"name": "calls-succeed", "display_name": EVIL, "indicator": {"type": "success"},
            "target": 0.5, "window": "28d"},
        {"name": "never-called", "indicator": {"type": "success"}, "filter": {"tool": "other"},
            "target": 0.9, "window": "1h"},
    ]);
    let triggers = json!([{"name": "errors-burn", "type": "burn", "objective": "calls-succeed",
        "min_events": 1, "windows": [{"long": "1h", "short": "5m", "rate": 0.1}],
        "actions": ["freeze"]}]);
    let budgets =
        json!({"schema": "agent/budgets@1", "tiers": {}, "slos": slos, "triggers": triggers});
    std::fs::write(served.path("ci/budgets.json"), budgets.to_string()).unwrap();
    served.agent(["trigger", "check"]).ok();
    let lines = telemetry::shipped(&served, "traces");
    let evil = lines.iter().map(|line| {
        line.to_string()
            .replace("{\"stringValue\":\"0.1.0\"}", &json!({"stringValue": EVIL}).to_string())
    });
    let text: String = evil.flat_map(|line| [line, "\n".to_owned()]).collect();
    let file = telemetry::newest_file(&served, "traces");
    std::fs::write(file.with_extension("evil.jsonl"), text).unwrap();
    served
}

#[test]
fn live_traffic_is_shown_and_updates_itself() {
    let Some(mut browser) = Browser::start() else { return };
    let served = trafficked();
    let api =
        Api::start(served.command().args(["serve", "versions", "--json"]).stdout(Stdio::piped()));
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        &json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true}),
    );
    browser.open(&format!("http://{}/#/live", api.address));
    browser.until("document.querySelectorAll('.chart.small').length === 6");
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 360);
    let texts = |selector: &str| {
        format!(
            "[...document.querySelectorAll('{selector}')].map((found) => found.textContent.trim())"
        )
    };
    assert_eq!(
        browser.value(&texts(".plots h3")),
        json!([
            "Calls per 15 min",
            "Errors",
            "Latency, median",
            "Latency, 95th percentile",
            "Mean reward",
            "Cost per 15 min"
        ])
    );
    assert_eq!(browser.value(&texts(".chart.small > .faint")), json!(["No call reported a cost."]));
    assert_eq!(
        browser.value("document.querySelectorAll('.chart.small .mark.release').length"),
        5,
        "the release stands in each chart"
    );
    let calls = "section[aria-label=\"Versions in this range\"] td:nth-child(2)";
    assert_eq!(browser.value(&texts(calls)), json!(["4", "4"]));
    assert_eq!(
        browser.value(&texts("section[aria-label=Objectives] td:nth-child(1)")),
        json!([EVIL, "never-called"])
    );
    // the other version counts for an objective of all versions
    assert_eq!(
        browser.value(&texts("section[aria-label=Objectives] td:nth-child(2)")),
        json!(["75 %", "–"])
    );
    let canaries = browser.value(&texts("section[aria-label=Canaries] p"));
    assert!(canaries.to_string().contains("There was none"), "{canaries}");
    let fired = browser.value(&texts("section[aria-label=\"Firings of triggers\"] td"));
    let fired = fired.to_string();
    for shown in ["errors-burn", "open", "freeze: promotions are held", "ask failed", "v0.1.0"] {
        assert!(fired.contains(shown), "{shown}: {fired}");
    }
    assert_eq!(browser.nameless(), Vec::<Value>::new());

    // the arrow keys go along a chart, and a screen reader says what is there
    browser.value("document.querySelector('.chart.small').focus()");
    let said = "document.activeElement.getAttribute('aria-valuetext')";
    let at_last = "document.activeElement.getAttribute('aria-valuenow') === \
        document.activeElement.getAttribute('aria-valuemax')";
    assert_eq!(browser.value(at_last), true);
    assert_eq!(browser.value("document.querySelectorAll('.tip:not([hidden])').length"), 1);
    // the calls were made within the last steps
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(browser.value(said).as_str().unwrap().to_owned());
        browser.key("ArrowLeft");
    }
    let counts = steps.iter().flat_map(|step| step.split("v0.1.0 ").skip(1));
    let numbers = counts.filter_map(|rest| rest.split([',', ' ']).next()?.parse::<u64>().ok());
    assert_eq!(numbers.sum::<u64>(), 4, "{steps:?}");
    assert!(steps.iter().any(|step| step.contains("v0.1.0 was made by a release")), "{steps:?}");
    assert_eq!(browser.value(at_last), false);
    browser.key("End");
    assert_eq!(browser.value(at_last), true);

    // what happens meanwhile appears, and the focus stays
    served.agent(["run", "ask", "question=d"]).ok();
    browser.until(&format!("{}[0] === '5'", texts(calls)));
    assert_eq!(browser.value("document.activeElement.className"), "chart small");

    // another range, without losing the place
    browser.value("document.querySelector('.choice button').focus()");
    browser.key("Enter");
    browser.until("document.querySelector('.plots h3').textContent === 'Calls per min'");
    assert_eq!(browser.value(&texts(".choice [aria-pressed=true]")), json!(["1h"]));
    assert_eq!(browser.value("document.activeElement.textContent"), "1h");
    let ground = "getComputedStyle(document.querySelector('.series, .dot')).color";
    let light = browser.value(ground);
    browser.call(
        "Emulation.setEmulatedMedia",
        &json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
    );
    assert_ne!(browser.value(ground), light);
    browser.key("Escape");
    browser.until("location.hash === '#/' && document.querySelector('tr.row')");
    assert_eq!(browser.value("document.images.length"), 0);
    assert_ne!(browser.value("document.title"), "owned");
    assert_eq!(browser.complaints, Vec::<String>::new());
}
