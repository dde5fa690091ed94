//! The files embedded in the binary: the agent templates and the Python package that every agent
//! repository vendors.

use agent_core::architect::inspiration::{self, Inspiration};
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::digest;
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static RUNTIME: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/runtime/agent_runtime");
const HARNESS: &[u8] = include_bytes!("../../../templates/harness/__main__.py");
static MINIMAL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/minimal");
static PREFERENCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/preferences");
static BANDIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/bandit");
static RULES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/rules");
static SEARCH: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/search");
static PROMPTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/prompts");
static PRESENTATION: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/presentation");
static INSPIRATIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates/inspirations");
static DOCS_SEARCH: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/docs-search");
static JOURNALS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/journals");
static ASSISTANT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/assistant");
static CO2: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/co2");
static IRIS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/iris");
static OPEN_BANDIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/open-bandit");
static WINE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/wine");
/// A client for the traffic of examples.
static TRAFFIC: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/traffic");
/// The JSON Schema of ci/budgets.json.
pub const BUDGETS_SCHEMA: &str =
    include_str!("../../../templates/observability/budgets.schema.json");
/// Alerts on the metrics of objectives, as a rule file of Prometheus.
pub const PROMETHEUS_RULES: &str =
    include_str!("../../../templates/observability/prometheus-rules.yml");
/// A dashboard of Grafana over the metrics of objectives and versions.
pub const GRAFANA_DASHBOARD: &str =
    include_str!("../../../templates/observability/grafana-dashboard.json");

/// A complete agent repository to start from.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    pub name: &'static str,
    pub about: &'static str,
    folder: &'static Dir<'static>,
    /// The template that an example is made from: `folder` has only what differs.
    pub base: Option<&'static str>,
    /// Further files, which other examples have as well.
    parts: &'static [&'static Dir<'static>],
}

impl Template {
    const fn new(name: &'static str, about: &'static str, folder: &'static Dir<'static>) -> Self {
        Self { name, about, folder, base: None, parts: &[] }
    }

    const fn on(self, base: &'static str) -> Self {
        Self { base: Some(base), ..self }
    }

    const fn with(self, parts: &'static [&'static Dir<'static>]) -> Self {
        Self { parts, ..self }
    }
}

pub const DEFAULT: &str = "minimal";

static TEMPLATES: &[Template] = &[
    Template::new(
        DEFAULT,
        "one tool that answers and one that learns: the smallest agent that gets better",
        &MINIMAL,
    ),
    Template::new(
        "docs-search",
        "answers from Python's own help topics; learns its ranking and which strategy to \
            trust",
        &DOCS_SEARCH,
    ),
    Template::new(
        "preferences",
        "ranks prompts, answers or models from pairwise judgements, with intervals",
        &PREFERENCES,
    ),
    Template::new(
        "bandit",
        "a router that chooses among arms by context; learns from delayed rewards, and notes \
            propensities",
        &BANDIT,
    ),
    Template::new(
        "rules",
        "answers by readable if-then rules that are mined from labelled feedback",
        &RULES,
    ),
    Template::new(
        "search",
        "forecasts series; searches its numeric parameters by CMA-ES, over a tier's score \
            or rewards",
        &SEARCH,
    ),
    Template::new(
        "prompts",
        "an assistant over an OpenAI-compatible endpoint; learns its prompt from rewards, \
            few-shot examples and GEPA",
        &PROMPTS,
    ),
    Template::new(
        "presentation",
        "learns how a server's tools are presented, over any server: keywords from picks, \
            variants by conversation",
        &PRESENTATION,
    ),
    Template::new(
        "assistant",
        "the example of `prompts`: six prompts of known quality, chosen by late rewards",
        &ASSISTANT,
    )
    .on("prompts")
    .with(&[&TRAFFIC]),
    Template::new("co2", "the example of `search`: forecasts monthly carbon dioxide", &CO2)
        .on("search"),
    Template::new(
        "journals",
        "the example of `preferences`: ranks journals by their citations",
        &JOURNALS,
    )
    .on("preferences"),
    Template::new("iris", "the example of `rules`: tells irises apart by readable rules", &IRIS)
        .on("rules"),
    Template::new(
        "open-bandit",
        "the example of off-policy evaluation: logs of a shop, judged before any traffic",
        &OPEN_BANDIT,
    )
    .on("bandit"),
    Template::new(
        "wine",
        "the example of `bandit`: assigns wines, of which it learns only whether \
        an assignment was right",
        &WINE,
    )
    .on("bandit")
    .with(&[&TRAFFIC]),
];

#[derive(Debug, thiserror::Error)]
#[error("there is no template `{name}`")]
pub struct UnknownTemplate {
    name: String,
}

impl Diagnose for UnknownTemplate {
    fn kind(&self) -> FailureKind {
        FailureKind::Usage
    }

    fn hint(&self) -> Option<String> {
        let names: Vec<_> = all().iter().map(|template| template.name).collect();
        Some(format!(
            "the templates are {}; `agent templates list` describes them",
            names.join(", ")
        ))
    }
}

pub fn all() -> &'static [Template] {
    TEMPLATES
}

pub fn named(name: &str) -> Result<&'static Template, UnknownTemplate> {
    all()
        .iter()
        .find(|template| template.name == name)
        .ok_or_else(|| UnknownTemplate { name: name.to_owned() })
}

/// A file of a repository to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub executable: bool,
}

impl NewFile {
    /// A file that starts with `#!` is a program.
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let executable = bytes.starts_with(b"#!");
        Self { path: path.into(), bytes, executable }
    }
}

impl Template {
    /// The files of the repository, sorted by path.
    pub fn files(&self) -> Vec<NewFile> {
        let mut own = files(self.folder, Path::new(""));
        own.extend(self.parts.iter().flat_map(|part| files(part, Path::new(""))));
        if let Some(base) = self.base.and_then(|base| named(base).ok()) {
            let kept: Vec<_> =
                base.files().into_iter().filter(|file| !is_replaced(&file.path, &own)).collect();
            own.extend(kept);
        }
        own.sort_by(|one, other| one.path.cmp(&other.path));
        own
    }
}

/// Whether an example does without a file of its base: one of the same path, and where the example
/// has cases of its own, the cases and signals, which are of the base's task.
fn is_replaced(path: &Path, own: &[NewFile]) -> bool {
    let is_case = |path: &Path| {
        path.starts_with("tests") && path.extension().is_some_and(|end| end == "jsonl")
    };
    let is_data = is_case(path) || path.starts_with("signals");
    own.iter().any(|file| file.path == path || (is_data && is_case(&file.path)))
}

/// The package `agent_runtime`, as it is vendored at the root of an agent repository.
pub fn runtime() -> Vec<NewFile> {
    files(&RUNTIME, Path::new("agent_runtime"))
}

/// What runs scorers: the program and its own copy of the runtime. The copy that a repository
/// vendors belongs to the code under test.
pub fn harness() -> &'static [NewFile] {
    static FILES: LazyLock<Vec<NewFile>> = LazyLock::new(|| {
        let mut files = runtime();
        files.push(NewFile::new("__main__.py", HARNESS));
        files
    });
    &FILES
}

/// The digest of the harness's files.
pub fn harness_digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        let lines = harness()
            .iter()
            .map(|file| format!("{} {}\n", file.path.display(), digest(&file.bytes)));
        digest(lines.collect::<String>().as_bytes())
    });
    &DIGEST
}

/// The changes the builtin coder can apply, by id.
pub fn inspirations() -> Vec<Inspiration> {
    INSPIRATIONS.dirs().filter(|folder| !is_leftover(folder.path())).map(inspiration).collect()
}

fn inspiration(folder: &Dir<'static>) -> Inspiration {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files = folder
        .files()
        .filter_map(|file| Some((name(file.path()), file.contents_utf8()?.to_owned())));
    let mut contents: BTreeMap<String, String> = files.collect();
    let description = contents.remove(inspiration::FILE).unwrap_or_default();
    Inspiration::parse(&description, contents)
        .unwrap_or_else(|problem| panic!("{}: {problem}", folder.path().display()))
}

/// The files below an embedded folder, sorted by path, without what running them leaves behind.
fn files(folder: &'static Dir<'static>, under: &Path) -> Vec<NewFile> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs().filter(|folder| !is_leftover(folder.path())));
        found.extend(
            folder
                .files()
                .filter(|file| !is_leftover(file.path()))
                .map(|file| NewFile::new(under.join(file.path()), file.contents())),
        );
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    matches!(name.as_ref(), "__pycache__" | ".agent" | ".pytest_cache" | "staging.state.json")
        || name.ends_with(".pyc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::formats::manifest::Manifest;

    #[test]
    fn every_template_is_a_whole_agent_repository() {
        for template in all() {
            let files = template.files();
            let text = |path: &str| {
                let file = files
                    .iter()
                    .find(|file| file.path == Path::new(path))
                    .unwrap_or_else(|| panic!("{}: {path}", template.name));
                String::from_utf8(file.bytes.clone()).unwrap()
            };
            Manifest::parse(&text("agent.toml"), "agent.toml").unwrap();
            serde_json::from_str::<serde_json::Value>(&text("state/active.state.json")).unwrap();
            for path in [
                "state/schema.json",
                "runner/__main__.py",
                "tuner/__main__.py",
                "ci/budgets.json",
                ".gitignore",
            ] {
                text(path);
            }
            for tier in ["micro", "fast", "full"] {
                let folder = Path::new("tests").join(tier);
                assert!(
                    files.iter().any(|file| file.path.starts_with(&folder)),
                    "{} has no {tier} case",
                    template.name
                );
            }
        }
    }

    #[test]
    fn an_example_has_what_differs_from_its_base_and_the_rest_of_it() {
        for example in all() {
            let Some(base) = example.base else { continue };
            let (files, base) = (example.files(), named(base).unwrap().files());
            let of_the_base: Vec<_> = files.iter().filter(|file| base.contains(file)).collect();
            let path = |path: &str| of_the_base.iter().any(|file| file.path == Path::new(path));
            assert!(path("tuner/__main__.py") && path("state/schema.json"), "{}", example.name);
            assert!(!path("README.md"), "{} has no README of its own", example.name);
            let cases = |files: &[&NewFile]| {
                let is_case =
                    |file: &&&NewFile| file.path.extension().is_some_and(|end| end == "jsonl");
                files.iter().filter(is_case).count()
            };
            let every: Vec<_> = files.iter().collect();
            // of one task or of the other
            let of_it = cases(&of_the_base);
            assert!(of_it == 0 || of_it == cases(&every), "{}", example.name);
            let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
            paths.dedup();
            assert_eq!(paths.len(), files.len(), "{} has a file twice", example.name);
        }
    }

    #[test]
    fn every_inspiration_can_be_read_and_is_named_as_its_folder() {
        let ids: Vec<_> = inspirations().into_iter().map(|one| one.id).collect();
        let folders: Vec<_> = INSPIRATIONS
            .dirs()
            .map(|folder| folder.path().to_string_lossy().into_owned())
            .collect();
        assert!(ids.len() >= 6 && ids == folders, "{ids:?} {folders:?}");
    }

    #[test]
    fn the_runtime_is_vendored_without_its_tests_and_leftovers() {
        let files = runtime();
        assert!(files.iter().any(|file| file.path == Path::new("agent_runtime/__init__.py")));
        assert!(files.iter().all(|file| !file.path.to_string_lossy().contains("__pycache__")));
    }
}
