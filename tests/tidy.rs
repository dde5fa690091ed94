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
        ("gix::", "cli/engine/src/world/git/"),
        ("duct::", "cli/engine/src/world/process.rs"),
        ("tokio::process", "cli/engine/src/world/process.rs"),
        ("object_store::", "cli/engine/src/world/store"),
        ("rustls::", "cli/engine/src/world/store/s3.rs"),
        ("nix::", "cli/engine/src/world/inherited.rs"),
        ("signal_hook::", "cli/engine/src/world/inherited.rs"),
        ("notify::", "cli/engine/src/world/watch.rs"),
        ("close_fds::", "cli/engine/src/world/sandbox/"),
        ("landlock::", "cli/engine/src/world/sandbox/"),
        ("seccompiler::", "cli/engine/src/world/sandbox/"),
        ("linux_raw_sys::", "cli/engine/src/world/sandbox/"),
        ("opentelemetry", "cli/engine/src/telemetry/"),
        ("tracing", "cli/engine/src/telemetry/"),
        ("indicatif::", "cli/src/report/"),
        ("getrandom::", "cli/engine/src/world/random.rs"),
        ("httparse::", "cli/serve/src/rest/"),
        ("hyper::", "cli/serve/src/mcp/http/"),
        ("rmcp::", "cli/serve/src/"),
        ("hyper_util::", "cli/serve/src/mcp/http/"),
        ("tiny_http::", "cli/serve/src/rest/"),
        ("include_dir::", "cli/engine/src/templates.rs"),
        ("jsonc_parser::", "cli/src/installation/"),
        ("toml_edit::", "cli/src/installation/"),
    ];
    let files: Vec<_> = ["cli/src", "cli/engine/src", "cli/serve/src"].iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
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

/// The rooms of a crate by floor, the lowest first: a room knows its own files and rooms on lower floors.
struct House {
    root: &'static str,
    floors: &'static [&'static [&'static str]],
}

const HOUSES: [House; 3] = [
    House {
        root: "cli/core/src",
        floors: &[
            &["child", "statistics"],
            &["formats"],
            &["state", "version"],
            &["contract", "protocol"],
            &["testing"],
            &["adoption", "bisection", "gate"],
            &["architect"],
            &["verification"],
        ],
    },
    House {
        root: "cli/engine/src",
        floors: &[
            &["error", "templates"],
            &["notices"],
            &["world"],
            &["child", "conversations", "staging", "telemetry"],
            &["repository"],
            &["target"],
            &["sync", "testing"],
            &["versions"],
            &["verification"],
            &["architect"],
            &["gc"],
        ],
    },
    House { root: "cli/serve/src", floors: &[&["access", "budget"], &["listen"], &["mcp", "rest"], &["api"]] },
];

impl House {
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&room))
    }

    /// The room of a file: the folder or file right below the root.
    fn room(&self, file: &Path) -> String {
        let inside = file.strip_prefix(root().join(self.root)).expect("a file of the house");
        let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    fn trespasses(&self) -> Vec<String> {
        let mut trespasses = Vec::new();
        for file in rust_files(&root().join(self.root)) {
            let room = self.room(&file);
            if room == "lib" {
                continue;
            }
            let Some(floor) = self.floor(&room) else {
                trespasses.push(format!("{}: the room `{room}` stands on no floor of tests/tidy.rs", shown(&file)));
                continue;
            };
            for named in named_rooms(&code(&file)) {
                if named != room && self.floor(&named).is_none_or(|other| other >= floor) {
                    trespasses.push(format!("{}: `{room}` may not know `{named}`", shown(&file)));
                }
            }
        }
        trespasses
    }
}

/// The first names after `crate::`.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    code.match_indices("crate::").map(|(at, word)| name(&code[at + word.len()..])).collect()
}

#[test]
fn rooms_know_only_lower_floors() {
    let trespasses: Vec<_> = HOUSES.iter().flat_map(House::trespasses).collect();
    assert!(trespasses.is_empty(), "{}", trespasses.join("\n"));
}
