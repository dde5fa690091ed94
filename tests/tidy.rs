//! Holds the arrows of ARCHITECTURE.md: who may know whom, and which crate has which one door.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ has a parent").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The code of a file without comments and string literals' effect on word search: comments are dropped line by line.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    })
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn each_effect_has_one_door() {
    let doors = [
        ("gix::", "cli/src/world/git/"),
        ("duct::", "cli/src/world/process.rs"),
        ("tokio::process", "cli/src/world/process.rs"),
        ("object_store::", "cli/src/world/store"),
        ("rustls::", "cli/src/world/store/s3.rs"),
        ("nix::", "cli/src/world/inherited.rs"),
        ("signal_hook::", "cli/src/world/inherited.rs"),
        ("notify::", "cli/src/world/watch.rs"),
        ("close_fds::", "cli/src/world/sandbox/"),
        ("landlock::", "cli/src/world/sandbox/"),
        ("seccompiler::", "cli/src/world/sandbox/"),
        ("linux_raw_sys::", "cli/src/world/sandbox/"),
        ("opentelemetry", "cli/src/telemetry/"),
        ("tracing", "cli/src/telemetry/"),
        ("indicatif::", "cli/src/report/"),
        ("getrandom::", "cli/src/world/random.rs"),
        ("httparse::", "cli/src/serve/rest/"),
        ("hyper::", "cli/src/serve/http/"),
        ("rmcp::", "cli/src/serve/"),
        ("hyper_util::", "cli/src/serve/http/"),
        ("tiny_http::", "cli/src/serve/rest/"),
        ("include_dir::", "cli/src/templates.rs"),
        ("jsonc_parser::", "cli/src/installation/"),
        ("toml_edit::", "cli/src/installation/"),
    ];
    let files = rust_files(&root().join("cli/src"));
    let trespasses: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let code = code(file);
            doors
                .iter()
                .filter(|(word, door)| names(&code, word) && !shown(file).starts_with(door))
                .map(|(word, door)| format!("{} names {word}; its door is {door}", shown(file)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(trespasses.is_empty(), "{}", trespasses.join("\n"));
}

#[test]
fn core_is_pure() {
    let forbidden =
        ["std::fs", "std::process", "std::env", "std::net", "std::thread", "std::time::SystemTime", "std::time::Instant", "gix", "tokio"];
    let trespasses: Vec<_> = rust_files(&root().join("cli/core/src"))
        .iter()
        .flat_map(|file| {
            let whole = code(file);
            // a core test may read its fixtures
            let code = whole.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            forbidden.iter().filter(|word| names(&code, word)).map(|word| format!("{} names {word}", shown(file))).collect::<Vec<_>>()
        })
        .collect();
    assert!(trespasses.is_empty(), "{}", trespasses.join("\n"));
}

/// `crate::ROOM` uses of each room, against the table of ARCHITECTURE.md.
#[test]
fn rooms_know_only_whom_they_may() {
    let rooms = [
        ("world", &["world"][..]),
        ("report", &["report", "printer"][..]),
        ("runner", &["runner", "world"][..]),
        ("staging", &["staging", "world"][..]),
        ("telemetry", &["telemetry", "world"][..]),
        (
            "versions",
            &[
                "calling",
                "context",
                "contracts",
                "error",
                "ledger",
                "migrations",
                "records",
                "repository",
                "runner",
                "staging",
                "target",
                "telemetry",
                "testing",
                "tuning",
                "versions",
                "world",
            ][..],
        ),
    ];
    let all: BTreeSet<_> = [
        "architect",
        "arguments",
        "calling",
        "commands",
        "context",
        "contracts",
        "error",
        "ledger",
        "migrations",
        "printer",
        "records",
        "report",
        "repository",
        "runner",
        "serve",
        "staging",
        "target",
        "telemetry",
        "testing",
        "tuning",
        "versions",
        "world",
    ]
    .into();
    let mut trespasses = Vec::new();
    for (room, may) in rooms {
        for file in rust_files(&root().join("cli/src").join(room)) {
            let code = code(&file);
            for other in all.iter().filter(|other| !may.contains(other)) {
                if names(&code, &format!("crate::{other}")) {
                    trespasses.push(format!("{} names crate::{other}", shown(&file)));
                }
            }
        }
    }
    assert!(trespasses.is_empty(), "{}", trespasses.join("\n"));
}
