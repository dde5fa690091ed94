//! The Python suites, so that `cargo test` is every test there is.

use agent_core::formats::manifest::Python;
use agent_core::formats::schema::Schema;
use agent_core::state::semantic::merge;
use agent_engine::world::layout::Layout;
use agent_engine::world::process::Run;
use agent_engine::world::python;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ has a parent").to_owned()
}

/// What `unittest` says at its end.
#[derive(Debug, PartialEq)]
struct Summary {
    ran: usize,
    skipped: usize,
}

/// `None` when it never came to its end.
fn summary(stderr: &str) -> Option<Summary> {
    let number_after = |word: &str| {
        let (_, rest) = stderr.rsplit_once(word)?;
        rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
    };
    Some(Summary { ran: number_after("\nRan ")?, skipped: number_after("skipped=").unwrap_or(0) })
}

/// Runs `python -m unittest ARGUMENTS` at the root; it has to pass.
#[track_caller]
fn unittest(interpreter: impl AsRef<Path>, arguments: &[&str]) -> Summary {
    let run =
        Run::new(interpreter.as_ref()).args(["-m", "unittest"]).args(arguments).directory(&root());
    // a source tree that is read only, and one that is shared, stay as they are
    let run = run
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH")
        .env_remove("BLESS_FIXTURES");
    let finished = run
        .finish()
        .unwrap_or_else(|error| panic!("{error}: the Python suites need Python 3.11 or newer"));
    let stderr = String::from_utf8_lossy(&finished.stderr);
    assert!(
        finished.success(),
        "python -m unittest {}\n{}\n{stderr}",
        arguments.join(" "),
        finished.text()
    );
    let summary = summary(&stderr).unwrap_or_else(|| panic!("unittest gave no summary\n{stderr}"));
    assert!(summary.ran > summary.skipped, "no test ran\n{stderr}");
    summary
}

#[test]
fn the_runtime() {
    unittest("python3", &["discover", "-s", "templates/runtime/tests", "-t", "templates/runtime"]);
}

#[test]
fn the_examples_and_inspirations() {
    unittest("python3", &["discover", "-s", "tests/python"]);
}

/// The states that two machines learn from parts of a template's signals, merged under its schema,
/// and the state that one machine learns from all of them.
fn merged_and_whole(template: &str) -> (Value, Value) {
    let run = Run::new("python3").args(["tests/python/learned_states.py", template]);
    let finished = run
        .directory(&root())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .finish()
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(finished.success(), "{}", String::from_utf8_lossy(&finished.stderr));
    let states: Value = serde_json::from_str(&finished.text()).expect("one JSON object");
    let schema = root().join("templates").join(template).join("state/schema.json");
    let schema = std::fs::read_to_string(schema).expect("the template's schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let (base, ours, theirs) = (&states["base"], &states["ours"], &states["theirs"]);
    let merged = merge(base, ours, theirs, Some(&schema))
        .unwrap_or_else(|conflicts| panic!("{template}: {conflicts:?}"));
    let broken = Schema::new(&schema).expect("a schema").violations(&merged);
    assert!(broken.is_empty(), "{template}: {broken:?}");
    (merged, states["whole"].clone())
}

#[test]
fn judgements_of_two_machines_add_up() {
    let (merged, whole) = merged_and_whole("preferences");
    assert_eq!(merged["pairs"], whole["pairs"]);
    assert_eq!(merged["judged"], whole["judged"]);
    let ids = |state: &Value| -> BTreeSet<String> {
        state["recent"].as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(ids(&merged), ids(&whole));
}

#[test]
fn picks_of_two_machines_add_up() {
    let (merged, whole) = merged_and_whole("presentation");
    assert_eq!(merged, whole);
}

#[test]
fn examples_of_two_machines_add_up() {
    let (merged, whole) = merged_and_whole("rules");
    assert_eq!(merged["labels"], whole["labels"]);
    assert_eq!(merged["seen"], whole["seen"]);
    let examples = |state: &Value| -> BTreeMap<String, (Value, Value)> {
        let kept = state["examples"].as_object().expect("an object");
        kept.iter()
            .map(|(id, one)| (id.clone(), (one["features"].clone(), one["label"].clone())))
            .collect()
    };
    assert_eq!(examples(&merged), examples(&whole));
}

/// The official `mcp` client, in an environment that `agent` itself makes from the lock, once.
#[test]
fn the_runtime_as_the_official_client_sees_it() {
    let layout = Layout::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("python"));
    std::fs::create_dir_all(layout.root()).expect("a folder under target/");
    let tests = root().join("templates/runtime/tests");
    let locked = Python { lock: Some("requirements.lock".to_owned()), ..Python::default() };
    let interpreter = python::interpreter(&layout, &tests, &locked,
        &|_| {}).unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        panic!("the official client could not be installed; this test needs a package index (PyPI, \
            or one named in pip's configuration)\n\
            {error}: {cause}")
    });
    let arguments = [
        "discover",
        "-s",
        "templates/runtime/tests",
        "-t",
        "templates/runtime",
        "-p",
        "test_official_client.py",
    ];
    assert_eq!(
        unittest(interpreter, &arguments).skipped,
        0,
        "the environment lacks what requirements.lock pins"
    );
}

#[test]
fn a_schemathesis_run_without_tests_is_detected() {
    let of = |text: &str| summary(text).map(|summary| (summary.ran, summary.skipped));
    assert_eq!(of("....\n---\nRan 4 tests in 0.1s\n\nOK (skipped=1)\n"), Some((4, 1)));
    assert_eq!(of("\n---\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n"), Some((0, 0)));
    assert_eq!(of("Traceback"), None);
}
