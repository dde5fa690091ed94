//! What `agent test` writes for people and for CI: the page, the summary, annotations.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a machine without Chromium says so in place of rendering"
)]

use crate::served::{FOLDER, Served};
use crate::world::{AGENT, Ended, World};
use serde_json::json;

const EVIL: &str = "</script><script>document.title='x'</script>";

/// Sixty cases: most pass, some do not, one tries to break out of a page.
fn cases() -> String {
    let case = |number: u32| {
        let minutes = if number % 12 == 3 { 31.0 } else { 30.0 };
        json!({"id": format!("task-{number:02}"), "tool": "estimate",
            "arguments": {"task": format!("t{number}")},
            "expect": {"subset": {"minutes": minutes}},
                "tags": [if number.is_multiple_of(2) { "even" } else { "odd" }]})
    };
    let evil = json!({"id": EVIL, "tool": "estimate", "arguments": {"task": "x"},
        "expect": {"equals": EVIL}, "must": true});
    (0..60).map(case).chain([evil]).map(|case| case.to_string() + "\n").collect::<Vec<_>>().concat()
}

fn served() -> Served {
    Served::with(&[("tests/fast/estimates.jsonl", &cases())])
}

fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    })
}

/// The page as it is once its script has run.
fn rendered(world: &World, browser: &str) -> Ended {
    let page =
        format!("file://{}", world.path(FOLDER).join("report.html").display()).replace(' ', "%20");
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=2000",
        "--dump-dom",
        &page,
    ];
    World::finish(world.command(browser, ".").args(arguments)).ok()
}

#[test]
fn the_page_is_self_contained_and_renders() {
    let served = served();
    served
        .agent(["test", "--tier", "fast", "--at", "v0.1.0", "--report", "html=report.html"])
        .code(1);
    let page = served.world.read(format!("{FOLDER}/report.html"));
    for word in ["http://", "https://", "src=", "@import", EVIL] {
        assert!(!page.contains(word), "{word}");
    }
    let Some(browser) = chromium() else {
        eprintln!("no Chromium on PATH: the page was not rendered");
        return;
    };
    let seen = rendered(&served.world, browser).stdout;
    assert!(
        seen.contains("<title>fail: v0.1.0</title>"),
        "no case may run a script: {}",
        &seen[..200]
    );
    assert_eq!(seen.matches("class=\"case\"").count(), 61, "every case has a row");
    assert!(
        seen.contains("61 cases") && seen.contains("Failed 6") && seen.contains("class=\"why\""),
        "{seen}"
    );
}

#[test]
fn a_baseline_is_shown_in_page_and_summary() {
    let served = served();
    let runner = served.world.read(format!("{FOLDER}/runner/__main__.py")).replace(
        "state()[\"usual_minutes\"]",
        "31.0 if task == 't3' else state()[\"usual_minutes\"]",
    );
    served.world.write(format!("{FOLDER}/runner/__main__.py"), runner);
    let page = ["--report", "html=report.html", "--report", "markdown=summary.md"];
    let arguments = ["test", "--tier", "fast", "--against", "v0.1.0"];
    let ended = World::finish(served.command().args(arguments).args(page)).code(1);
    ended.stdout_has("  better  task-03  failed 0.000 -> passed 1.000");
    let page = served.world.read(format!("{FOLDER}/report.html"));
    assert!(page.contains("worktree against v0.1.0") && page.contains("\"direction\":\"better\""));
    let summary = served.world.read(format!("{FOLDER}/summary.md"));
    assert!(
        summary.contains("### fast against v0.1.0")
            && summary.contains(":small_blue_diamond: task-03 | failed 0.000 | passed 1.000 |")
    );
}

#[test]
fn on_github_failures_are_annotations_and_the_summary_is_added_to() {
    let served = served();
    let summary = served.world.write("summary.md", "# before\n");
    let report = format!("markdown={}", summary.display());
    let mut command = served.world.command(AGENT, FOLDER);
    command.args(["test", "--tier", "fast", "--report", &report, "--json"]);
    let ended =
        World::finish(command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary))
            .code(1);
    let ended = ended.stderr_has(
        "::error file=tests/fast/estimates.jsonl,line=4,title=fast%3A \
            task-03::$.minutes: expected 31.0, got 30.0",
    );
    assert_eq!(ended.json()["schema"], "agent/eval@1", "stdout is data alone");
    let text = served.world.read("summary.md");
    assert!(text.starts_with("# before\n## :x: worktree: fail\n"), "{text}");
    let quiet = served.agent(["test", "--tier", "fast"]).code(1);
    assert!(!quiet.stderr.contains("::error"), "{}", quiet.stderr);
}
