//! Checks what ARCHITECTURE.md states: which module may use which, which files use each other, and
//! the one place in which each outside crate is used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ has a parent").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
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

/// The code of a file without comments and string literals' effect on word search: comments are
/// dropped line by line.
fn code(path: &Path) -> String {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
fn each_outside_crate_is_used_in_one_place() {
    let places = [
        ("gix::", "cli/engine/src/world/git/"),
        ("duct::", "cli/engine/src/world/process.rs"),
        ("tokio::process", "cli/engine/src/world/child_process.rs"),
        ("object_store::", "cli/engine/src/world/store"),
        ("rustls::", "cli/engine/src/world/store/s3.rs"),
        ("nix::", "cli/engine/src/world/inherited.rs"),
        ("signal_hook::", "cli/engine/src/world/inherited.rs"),
        ("reqwest::", "cli/engine/src/world/http.rs"),
        ("notify::", "cli/engine/src/world/watch.rs"),
        ("close_fds::", "cli/engine/src/world/sandbox/"),
        ("landlock::", "cli/engine/src/world/sandbox/"),
        ("seccompiler::", "cli/engine/src/world/sandbox/"),
        ("linux_raw_sys::", "cli/engine/src/world/sandbox/"),
        ("opentelemetry", "cli/engine/src/telemetry/"),
        ("tracing", "cli/engine/src/telemetry/"),
        ("indicatif::", "cli/src/report/"),
        ("getrandom::", "cli/engine/src/world/random.rs"),
        ("ring::aead", "cli/engine/src/world/encryption.rs"),
        ("httparse::", "cli/serve/src/rest/"),
        ("similar::", "cli/core/src/formats/text_difference.rs"),
        ("hyper::", "cli/serve/src/mcp/http/"),
        ("rmcp::", "cli/serve/src/"),
        ("hyper_util::", "cli/serve/src/mcp/http/"),
        ("tiny_http::", "cli/serve/src/rest/"),
        ("include_dir::", "cli/engine/src/templates.rs"),
        ("serde_saphyr::", "cli/core/src/formats/yaml.rs"),
        ("jsonc_parser::", "cli/src/installation/"),
        ("jsonc_parser::", "cli/core/src/formats/json_edit.rs"),
        ("toml_edit::", "cli/src/installation/"),
        ("toml_edit::", "cli/src/applying/manifest.rs"),
    ];
    let files: Vec<_> = ["cli/src", "cli/core/src", "cli/engine/src", "cli/serve/src"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .collect();
    let violations: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let code = code(file);
            let is_inside = |word: &str| {
                places.iter().any(|(other, place)| *other == word && shown(file).starts_with(place))
            };
            places
                .iter()
                .filter(|(word, _)| names(&code, word) && !is_inside(word))
                .map(|(word, place)| {
                    format!("{} names {word}, which belongs in {place}", shown(file))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn core_is_pure() {
    let forbidden = [
        "std::fs",
        "std::process",
        "std::env",
        "std::net",
        "std::thread",
        "std::time::SystemTime",
        "std::time::Instant",
        "gix",
        "tokio",
    ];
    let violations: Vec<_> = rust_files(&root().join("cli/core/src"))
        .iter()
        .flat_map(|file| {
            let whole = code(file);
            // a core test may read its fixtures
            let code = whole.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            forbidden
                .iter()
                .filter(|word| names(&code, word))
                .map(|word| format!("{} names {word}", shown(file)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// The modules of a crate by layer, the lowest first: a module uses its own files and modules of
/// lower layers.
struct Layers {
    root: &'static str,
    layers: &'static [&'static [&'static str]],
}

const CRATES: [Layers; 4] = [
    Layers {
        root: "cli/core/src",
        layers: &[
            &["child", "statistics"],
            &["formats"],
            &["off_policy", "state", "version"],
            &["contract", "protocol"],
            &["overlay", "slo"],
            &["trigger"],
            &["testing"],
            &["adoption", "bisection", "canary", "gate"],
            &["architect", "replay"],
            &["verification"],
        ],
    },
    Layers {
        root: "cli/engine/src",
        layers: &[
            &["templates", "world"],
            &["child", "conversations", "error", "staging", "telemetry"],
            &["notices"],
            &["repository"],
            &["target"],
            &["off_policy", "slo", "sync", "testing"],
            &["versions"],
            &["canary", "effects", "replay", "verification"],
            &["architect"],
            &["gc", "trigger"],
        ],
    },
    Layers {
        root: "cli/serve/src",
        layers: &[&["access", "budget"], &["listen"], &["mcp", "rest"], &["api"]],
    },
    Layers {
        root: "cli/src",
        layers: &[
            &["exit", "installation", "scaffold", "terminal"],
            &["printer"],
            &["global_flags", "report"],
            &["context"],
            &["adoption", "doctor"],
            &["applying"],
            &["commands"],
            &["arguments"],
        ],
    },
];

impl Layers {
    fn layer(&self, module: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.contains(&module))
    }

    /// The module of a file: the folder or file right below the root.
    fn module(&self, file: &Path) -> String {
        let inside = file.strip_prefix(root().join(self.root)).expect("a file of the crate");
        let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for file in rust_files(&root().join(self.root)) {
            let module = self.module(&file);
            if ["lib", "main"].contains(&module.as_str()) {
                continue;
            }
            let Some(layer) = self.layer(&module) else {
                violations.push(format!(
                    "{}: the module `{module}` is in no layer of tests/tidy.rs",
                    shown(&file)
                ));
                continue;
            };
            for named in named_modules(&code(&file)) {
                if named != module && self.layer(&named).is_none_or(|other| other >= layer) {
                    violations.push(format!("{}: `{module}` may not use `{named}`", shown(&file)));
                }
            }
        }
        violations
    }
}

/// The first names after `crate::`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    code.match_indices("crate::").map(|(at, word)| name(&code[at + word.len()..])).collect()
}

#[test]
fn modules_use_only_lower_layers() {
    let violations: Vec<_> = CRATES.iter().flat_map(Layers::violations).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// What only a front may use. A crate that is not listed in a manifest cannot be imported.
const OF_FRONTS: [&str; 5] = ["clap", "indicatif", "rmcp", "hyper", "tiny_http"];

#[test]
fn core_and_engine_depend_on_no_front() {
    for manifest in ["cli/core/Cargo.toml", "cli/engine/Cargo.toml"] {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        let names = text.lines().map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default());
        let listed: Vec<_> = names.filter(|name| OF_FRONTS.contains(name)).collect();
        assert!(listed.is_empty(), "{manifest} lists {}", listed.join(", "));
    }
}

/// Where a kind is read: by the front ends, which map it to their codes, and where a module of the
/// engine makes its own error of a failure of lower modules.
const READERS_OF_KINDS: [&str; 5] = [
    "cli/src/exit.rs",
    "cli/serve/src/mcp/results.rs",
    "cli/serve/src/rest/problem.rs",
    "cli/engine/src/testing/error.rs",
    "cli/engine/src/versions/error.rs",
];

/// Whether code compares a kind or matches one, rather than to name it.
fn reads_a_kind(code: &str) -> bool {
    const KIND: &str = "FailureKind::";
    code.match_indices(KIND).any(|(at, _)| {
        let before = code[..at].trim_end();
        let after = code[at + KIND.len()..].trim_start_matches(char::is_alphanumeric);
        let after = after.trim_start_matches([' ', '\n', ')']);
        let is_alternative = after.starts_with("| ") && !after.starts_with("||");
        before.ends_with("==")
            || before.ends_with("!=")
            || after.starts_with("=>")
            || is_alternative
    })
}

#[test]
fn callers_match_variants_and_not_kinds() {
    for reading in [
        "if error.kind == FailureKind::Child {",
        "FailureKind::Usage => 400,",
        "FailureKind::Child\n | FailureKind::Input => 1",
        "(false, Some(FailureKind::Refused)) => {}",
        "matches!(kind, FailureKind::Child | FailureKind::Input)",
    ] {
        assert!(reads_a_kind(reading), "{reading}");
    }
    for naming in ["Self::Url => FailureKind::Input,", "Failure::new(FailureKind::Child, why)"] {
        assert!(!reads_a_kind(naming), "{naming}");
    }
    let crates = ["cli/engine/src", "cli/serve/src", "cli/src", "hooks/src"];
    let violations: Vec<_> = crates
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .filter(|file| !READERS_OF_KINDS.contains(&shown(file).as_str()))
        .filter(|file| !file.ends_with("tests.rs"))
        .filter(|file| {
            reads_a_kind(code(file).split("#[cfg(test)]\nmod tests {").next().unwrap_or_default())
        })
        .map(|file| format!("{} reads a `FailureKind`; match a module's own error", shown(&file)))
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// The source folders of the crates.
const SOURCES: [&str; 5] =
    ["cli/core/src", "cli/engine/src", "cli/serve/src", "cli/src", "hooks/src"];

/// The most files that may use each other.
const LARGEST_CYCLE: usize = 4;

/// The path of a module below its crate; of the crate itself, nothing.
type Module = Vec<String>;

/// The modules of a crate, and which others each names: in imports and in paths.
struct Uses {
    modules: BTreeMap<Module, PathBuf>,
}

impl Uses {
    fn of(folder: &Path) -> Self {
        let modules = rust_files(folder)
            .into_iter()
            .map(|file| (module_of(file.strip_prefix(folder).expect("a file below")), file));
        Self { modules: modules.collect() }
    }

    /// The module that a path names, or names something of.
    fn defining(&self, path: &[String]) -> Option<&Module> {
        let known =
            (0..=path.len()).rev().find_map(|length| self.modules.get_key_value(&path[..length]));
        known.map(|(module, _)| module)
    }

    fn used_by<'a>(&'a self, module: &'a Module, file: &Path) -> BTreeSet<&'a Module> {
        let whole = code(file);
        let code = whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let imports = statements(code);
        let rest = imports.iter().fold(code.to_owned(), |code, tree| code.replacen(tree, "", 1));
        let imported = imports.iter().flat_map(|tree| leaves(tree));
        let paths =
            imported.chain(inline_paths(&rest)).filter_map(|path| self.absolute(module, &path));
        paths.filter_map(|path| self.defining(&path)).filter(|used| *used != module).collect()
    }

    /// A path of the crate; `None` for one of another crate.
    fn absolute(&self, module: &Module, path: &str) -> Option<Module> {
        let mut parts: Vec<String> = path
            .split("::")
            .map(|part| part.trim().to_owned())
            .filter(|part| part != "self")
            .collect();
        match parts.first()?.as_str() {
            "crate" => Some(parts.split_off(1)),
            "super" => {
                let ups = parts.iter().take_while(|part| *part == "super").count();
                let base = &module[..module.len().saturating_sub(ups)];
                Some([base, &parts[ups..]].concat())
            }
            first => {
                let own = [&module[..], &[first.to_owned()]].concat();
                self.modules.contains_key(&own).then(|| [&module[..], &parts].concat())
            }
        }
    }

    /// The cycles: files each of which reaches each other by what they name.
    fn cycles(&self) -> Vec<BTreeSet<&Module>> {
        let arrows: BTreeMap<_, _> = self
            .modules
            .iter()
            .map(|(module, file)| (module, self.used_by(module, file)))
            .collect();
        let reached: BTreeMap<_, _> =
            arrows.keys().map(|module| (*module, reachable(&arrows, module))).collect();
        let cycle = |module: &Module| -> BTreeSet<&Module> {
            reached[module]
                .iter()
                .copied()
                .filter(|other| reached[other].contains(module))
                .collect()
        };
        let cycles: BTreeSet<BTreeSet<&Module>> =
            arrows.keys().map(|module| cycle(module)).filter(|cycle| !cycle.is_empty()).collect();
        cycles.into_iter().collect()
    }
}

fn module_of(file: &Path) -> Module {
    let path = file.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| !["mod", "lib", "main"].contains(&part.as_str())).collect()
}

fn reachable<'a>(
    arrows: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = arrows[from].iter().copied().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(&arrows[module]);
        }
    }
    reached
}

/// What stands between `use` and `;`.
fn statements(code: &str) -> Vec<String> {
    let tree_of = |line: &str| {
        let line = line.trim_start();
        let line = line
            .strip_prefix("pub")
            .map_or(line, |rest| rest.split_once(')').map_or(rest, |(_, rest)| rest).trim_start());
        line.strip_prefix("use ").map(str::len)
    };
    let mut found = Vec::new();
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        at += line.len();
        if let Some(length) = tree_of(line) {
            let tree = &code[at - length..];
            found.push(tree[..tree.find(';').unwrap_or(tree.len())].to_owned());
        }
    }
    found
}

/// The paths of a tree of imports.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().to_owned()];
    };
    let inside = &inside[..inside.rfind('}').unwrap_or(inside.len())];
    let mut depth = 0_usize;
    let branches = inside.split(|letter| {
        depth = depth + usize::from(letter == '{') - usize::from(letter == '}');
        letter == ',' && depth == 0
    });
    branches
        .filter(|branch| !branch.trim().is_empty())
        .flat_map(|branch| leaves(&format!("{before}{}", branch.trim())))
        .collect()
}

/// The paths of several names in code without imports, such as `super::f()` and `child::Type`.
fn inline_paths(code: &str) -> Vec<String> {
    let is_of_path = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
    let words = code.split(|letter| !is_of_path(letter));
    // a generic function ends with `::`
    let paths = words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::"));
    paths.map(str::to_owned).collect()
}

#[test]
fn cycles_of_files_are_small() {
    let mut large = Vec::new();
    for folder in SOURCES {
        let uses = Uses::of(&root().join(folder));
        for cycle in uses.cycles().into_iter().filter(|cycle| cycle.len() > LARGEST_CYCLE) {
            let names: Vec<_> = cycle.iter().map(|module| module.join("::")).collect();
            large.push(format!(
                "{folder}: {} files use each other: {}",
                names.len(),
                names.join(", ")
            ));
        }
    }
    assert!(large.is_empty(), "{}", large.join("\n"));
}

#[test]
fn a_cycle_is_found_through_imports_and_paths() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file is written");
    };
    std::fs::create_dir(folder.path().join("room")).expect("a folder is made");
    write("lib.rs", "pub mod a;\nmod room;\n");
    write("a.rs", "use std::fmt;\nuse crate::{\n    room::{self, one::Thing as Other},\n};\n");
    write("room/mod.rs", "mod one;\nmod two;\npub use two::Two;\n");
    write(
        "room/one.rs",
        "pub(super) use super::two::Two;\n\
        #[cfg(test)]\n\
        mod tests {\
        \n    use crate::room::Two;\n\
        }\n",
    );
    write("room/two.rs", "fn two() -> crate::a::A {}\n// use crate::room::Two;\n");
    std::fs::create_dir(folder.path().join("loft")).expect("a folder is made");
    write("loft/mod.rs", "mod left;\nfn f() {\n    left::f::<u8>(std::fmt::Error)\n}\n");
    write("loft/left.rs", "use super::right;\n");
    write("loft/right.rs", "fn f() -> Vec<super::Loft> {}\n");
    let uses = Uses::of(folder.path());
    let cycles: Vec<Vec<_>> = uses
        .cycles()
        .iter()
        .map(|cycle| cycle.iter().map(|module| module.join("::")).collect())
        .collect();
    let loft = vec!["loft", "loft::left", "loft::right"];
    assert_eq!(cycles, [vec!["a", "room", "room::one", "room::two"], loft]);
}
