//! What a coder may change: rules over paths, as data.
//!
//! A path is refused where a coder may never change it. An evaluator needs a maintainer's
//! approval: it determines what is judged, or it runs on users' machines outside of the tests.
//! Everything else is code, and its tests decide.

use crate::bisection::difference::{PathChange, PathStatus};
use crate::formats::manifest::{self, Manifest};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum number of files in one change.
pub const FILES_LIMIT: usize = 1_000;
/// The maximum number of bytes in the files of one change.
pub const BYTES_LIMIT: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consequence {
    /// Never part of a coder's change.
    Refused,
    /// Never part of a coder's change, and an evaluator as well.
    RefusedEvaluator,
    /// A maintainer decides.
    Evaluator,
}

enum Place {
    /// A file, or a folder with all in it. A file at the root that Python would import in the place
    /// of the folder counts as well.
    At(&'static str),
    /// A file or folder of this name, at any path.
    Named(&'static str),
    /// Files and folders whose name starts with a dot, wherever they lie.
    Hidden,
}

struct Rule {
    place: Place,
    consequence: Consequence,
    why: &'static str,
}

const fn rule(place: Place, consequence: Consequence, why: &'static str) -> Rule {
    Rule { place, consequence, why }
}

/// The first that fits decides.
const RULES: &[Rule] = &[
    rule(
        Place::At("state/active.state.json"),
        Consequence::Refused,
        "the state is changed by signals to the Tuner",
    ),
    rule(
        Place::At("state/staging.state.json"),
        Consequence::Refused,
        "staging is not part of a change",
    ),
    rule(
        Place::Named(".git"),
        Consequence::Refused,
        "a change consists of files, not of git's own data",
    ),
    rule(Place::At(".agent"), Consequence::Refused, "`agent`'s own data is not part of a change"),
    rule(
        Place::At("agent_runtime"),
        Consequence::RefusedEvaluator,
        "the runtime belongs to `agent`, which updates it",
    ),
    rule(Place::At("tests"), Consequence::Evaluator, "cases, goldens and scorers judge changes"),
    rule(Place::At("ci"), Consequence::Evaluator, "budgets, objectives and triggers judge changes"),
    rule(Place::At("Jenkinsfile"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("azure-pipelines.yml"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("azure-pipelines.yaml"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("bitbucket-pipelines.yml"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("appveyor.yml"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("cloudbuild.yaml"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("buildspec.yml"), Consequence::Evaluator, WORKFLOW),
    rule(Place::At("lefthook.yml"), Consequence::Evaluator, HOOK),
    rule(Place::At("lefthook.yaml"), Consequence::Evaluator, HOOK),
    rule(Place::At("lefthook.toml"), Consequence::Evaluator, HOOK),
    rule(Place::At("prek.toml"), Consequence::Evaluator, HOOK),
    rule(Place::Named(".githooks"), Consequence::Evaluator, HOOK),
    rule(Place::Named(".husky"), Consequence::Evaluator, HOOK),
    rule(Place::Named(".github"), Consequence::Evaluator, WORKFLOW),
    rule(
        Place::Named(".gitattributes"),
        Consequence::Evaluator,
        "attributes decide how git reads and writes files, and by which programs",
    ),
    rule(
        Place::Named(".gitignore"),
        Consequence::Evaluator,
        "it decides which files are part of a change and of a test",
    ),
    rule(
        Place::Named(".gitmodules"),
        Consequence::Evaluator,
        "it names repositories that git fetches",
    ),
    rule(
        Place::Hidden,
        Consequence::Evaluator,
        "hidden files configure git, workflows, editors and hosts on users' machines",
    ),
];

const WORKFLOW: &str = "workflows run on users' machines, with their rights";
const HOOK: &str = "hooks run on users' machines";
/// Steps that carry a state from one schema version to the next.
const MIGRATIONS: &str = "state/migrations";

/// Properties of a change that the paths alone do not determine.
#[derive(Debug, Clone, Copy)]
pub struct Manifests<'a> {
    /// The value in the served version.
    pub old: &'a Manifest,
    /// The value in the change.
    pub new: &'a Manifest,
    /// Files outside of `tests/` that cases of the served version name as their judges.
    pub judges: &'a BTreeSet<String>,
}

/// An evaluator that a change touches, and why it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluator {
    pub path: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing was changed.
    Nothing,
    Refused {
        why: String,
    },
    /// With the evaluators among what it touches.
    Allowed {
        evaluators: Vec<Evaluator>,
    },
}

/// Judges what a coder's change touches.
pub fn judge(touched: &[PathChange], manifests: &Manifests<'_>) -> Judgement {
    match refused(touched) {
        _ if touched.is_empty() => Judgement::Nothing,
        Some(why) => Judgement::Refused { why },
        None => Judgement::Allowed { evaluators: evaluators(touched, manifests) },
    }
}

/// Why a change is refused, regardless of its content.
pub fn refused(touched: &[PathChange]) -> Option<String> {
    if touched.len() > FILES_LIMIT {
        return Some(format!(
            "the change touches {} files; at most {FILES_LIMIT} are allowed",
            touched.len()
        ));
    }
    let (path, why) =
        touched.iter().find_map(|touched| Some((&touched.path, refusal(&touched.path)?)))?;
    Some(format!("the change touches {path:?}, and must not: {why}"))
}

/// The evaluators among the differences of two trees. The learned state is not one: it is judged
/// separately.
pub fn evaluators(touched: &[PathChange], manifests: &Manifests<'_>) -> Vec<Evaluator> {
    touched
        .iter()
        .filter_map(|touched| {
            Some(Evaluator { path: touched.path.clone(), why: evaluator(touched, manifests)? })
        })
        .collect()
}

fn refusal(path: &str) -> Option<&'static str> {
    if !is_plain(path) {
        return Some("a file's name is UTF-8 without control characters and backslashes");
    }
    let rule = ruled(path)?;
    matches!(rule.consequence, Consequence::Refused | Consequence::RefusedEvaluator)
        .then_some(rule.why)
}

fn evaluator(touched: &PathChange, manifests: &Manifests<'_>) -> Option<String> {
    let path = touched.path.as_str();
    if same(path, manifest::FILE) {
        let sections = manifests.old.differences(manifests.new);
        return (!sections.is_empty()).then(|| {
            format!("{} decide what is started, judged and released", sections.join(", "))
        });
    }
    if let Some(rule) = ruled(path) {
        return matches!(rule.consequence, Consequence::RefusedEvaluator | Consequence::Evaluator)
            .then(|| rule.why.to_owned());
    }
    let locks = [&manifests.old.python.lock, &manifests.new.python.lock];
    if locks.into_iter().flatten().any(|lock| same(path, lock.trim_start_matches("./"))) {
        return Some(
            "packages are installed on users' machines, and scorers run beside them".to_owned(),
        );
    }
    if manifests.old.evaluators.import.iter().any(|import| is_under(path, import)) {
        return Some(
            "scorers and judges may import it: `import` under [evaluators] names it".to_owned(),
        );
    }
    if manifests.judges.iter().any(|judge| same(path, judge)) {
        return Some("cases name it as their judge".to_owned());
    }
    if is_under(path, MIGRATIONS) && touched.status != PathStatus::Added {
        return Some("a migration that states have been through does not change".to_owned());
    }
    let protected = manifests.old.architect.protect.iter().find(|prefix| is_under(path, prefix))?;
    Some(format!("`protect` of agent.toml names {protected}"))
}

fn ruled(path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| match rule.place {
        Place::At(place) => is_under(path, place) || is_imported_for(path, place),
        Place::Named(name) => path.split('/').any(|part| same(part, name)),
        Place::Hidden => path.split('/').any(|part| part.starts_with('.')),
    })
}

/// Whether a path is the one named, or in the folder named; file systems that fold letter case are
/// no way around.
pub fn is_under(path: &str, prefix: &str) -> bool {
    let (path, prefix) = (path.to_lowercase(), prefix.trim_end_matches('/').to_lowercase());
    path.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `tests.py`, `tests.so`...: modules at the root that shadow the folder `tests` in Python.
fn is_imported_for(path: &str, folder: &str) -> bool {
    !path.contains('/')
        && path
            .split_once('.')
            .is_some_and(|(stem, extensions)| same(stem, folder) && !extensions.is_empty())
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Whether the name is portable. A name that is not UTF-8 arrives with replacement characters.
fn is_plain(path: &str) -> bool {
    // some file systems ignore these characters, so that two names can denote one file
    const PASSED_OVER: [char; 17] = [
        '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}',
        '\u{202d}', '\u{202e}', '\u{2060}', '\u{206a}', '\u{206b}', '\u{206c}', '\u{206d}',
        '\u{206e}', '\u{206f}', '\u{feff}',
    ];
    let invalid = |letter: char| {
        letter.is_control()
            || matches!(letter, '\\' | char::REPLACEMENT_CHARACTER)
            || PASSED_OVER.contains(&letter)
    };
    !path.contains(invalid)
}

/// Why a tree with these changes cannot be checked out where a file system folds letter case: two
/// of its paths are one there.
pub fn spelt_twice<'a>(
    before: impl IntoIterator<Item = &'a str>,
    changes: &'a [PathChange],
) -> Option<String> {
    let gone: BTreeSet<&str> = changes
        .iter()
        .filter(|change| change.status == PathStatus::Removed)
        .map(|change| change.path.as_str())
        .collect();
    let paths = before
        .into_iter()
        .chain(changes.iter().map(|change| change.path.as_str()))
        .filter(|path| !gone.contains(path));
    let mut spellings: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for place in ends.map(|end| &path[..end]) {
            let first = *spellings.entry(place.to_lowercase()).or_insert(place);
            if first != place {
                return Some(format!(
                    "{first:?} and {place:?} are one path where letter case does not count"
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(extra: &str) -> Manifest {
        let text = format!(
            "schema = \"agent/manifest@1\"\nname = \"a\"\n[runner]\ncommand = [\"python\"]\n{extra}"
        );
        Manifest::parse(&text, "agent.toml").unwrap()
    }

    fn touched(path: &str, status: PathStatus) -> [PathChange; 1] {
        [PathChange { path: path.to_owned(), status }]
    }

    fn decision_text(touched: &[PathChange], old: &str, new: &str) -> String {
        let judges = BTreeSet::from(["tools/judge.py".to_owned()]);
        let (old, new) = (manifest(old), manifest(new));
        match judge(touched, &Manifests { old: &old, new: &new, judges: &judges }) {
            Judgement::Nothing => "nothing".to_owned(),
            Judgement::Allowed { evaluators } if evaluators.is_empty() => "code".to_owned(),
            Judgement::Allowed { .. } => "a maintainer".to_owned(),
            Judgement::Refused { why } => why.split(',').next().unwrap_or_default().to_owned(),
        }
    }

    fn check(paths: &[&str], expected: &str) {
        let touched: Vec<_> =
            paths.iter().flat_map(|path| touched(path, PathStatus::Added)).collect();
        assert_eq!(decision_text(&touched, "", ""), expected, "{paths:?}");
    }

    #[test]
    fn path_determines_the_rule() {
        check(&[], "nothing");
        check(
            &["runner/words.py", "state/schema.json", "state/migrations/2.py", "README.md"],
            "code",
        );
        check(
            &[
                "testsuite.py",
                "circus/a.py",
                "tests_of_mine/a.py",
                "agent_runtimes.py",
                "runner/tests/a.py",
            ],
            "code",
        );
        for evaluator in [
            "tests/micro/a.jsonl",
            "Tests/micro/a.jsonl",
            "tests",
            "tests.py",
            "TESTS.cpython-311-x86_64-linux-gnu.so",
            "ci/budgets.json",
            ".githooks/pre-commit",
            ".github/workflows/agent.yml",
            ".gitlab-ci.yml",
            ".circleci/config.yml",
            "Jenkinsfile",
            ".gitattributes",
            "runner/.gitattributes",
            "runner/.GitIgnore",
            ".gitmodules",
            ".pre-commit-config.yaml",
            ".envrc",
            ".vscode/tasks.json",
            "tools/judge.py",
            "Tools/Judge.py",
        ] {
            check(&[evaluator], "a maintainer");
            check(&["runner/words.py", evaluator], "a maintainer");
        }
        for refused in [
            "state/active.state.json",
            "STATE/Active.State.json",
            "state/staging.state.json",
            "vendored/.git/config",
            "vendored/.GIT",
            ".agent/store/x",
            "agent_runtime/scorers.py",
            "agent_runtime.py",
            "runner/a\\..\\b.py",
            "runner/a\u{200d}.py",
            "runner/\u{fffd}.py",
            "runner/a\nb.py",
        ] {
            check(&["tests/micro/a.jsonl", refused], &format!("the change touches {refused:?}"));
        }
        let many: Vec<String> =
            (0..=FILES_LIMIT).map(|number| format!("runner/{number}.py")).collect();
        check(
            &many.iter().map(String::as_str).collect::<Vec<_>>(),
            "the change touches 1001 files; at most 1000 are allowed",
        );
    }

    #[test]
    fn existing_migrations_are_immutable() {
        let step = |status| decision_text(&touched("state/migrations/2.py", status), "", "");
        assert_eq!(step(PathStatus::Added), "code");
        assert_eq!(step(PathStatus::Modified), "a maintainer");
        assert_eq!(step(PathStatus::Removed), "a maintainer");
    }

    #[test]
    fn manifest_determines_the_evaluators() {
        let touched = touched("agent.toml", PathStatus::Modified);
        assert_eq!(decision_text(&touched, "", ""), "code", "what it says is the same");
        for section in [
            "[promote]\ntier = \"micro\"\nmargin = 0.5\n",
            "[release]\ntier = \"micro\"\n",
            "[architect]\nprotect = []\n",
            "[architect]\nevaluators = \"allow-additions\"\n",
            "[limits]\ncall_s = 60\n",
            "[store]\nurl = \"file:elsewhere\"\n",
            "[python]\nrequires = \">=3.12\"\n",
            "[python]\nlock = \"requirements.lock\"\n",
            "[tuner]\ncommand = [\"sh\"]\n",
            "[limits]\nmemory_mb = 65536\n",
            "[architect]\nconfine = false\n",
            "[evaluators]\nimport = [\"runner/words.py\"]\n",
            "[evaluators]\nenv = [\"MODE=kind\"]\n",
            // what the Runner may reach
            "read = [\"/data\"]\n",
            "network = true\n",
            "env = [\"AGENT_TOKEN\"]\n",
            "shared_memory = true\n",
        ] {
            assert_eq!(decision_text(&touched, "", section), "a maintainer", "{section}");
        }
        // and the Tuner
        let tuner = "[tuner]\ncommand = [\"python\"]\n";
        for key in [
            "read = [\"/data\"]",
            "network = true",
            "env = [\"AGENT_TOKEN\"]",
            "shared_memory = true",
        ] {
            assert_eq!(
                decision_text(&touched, tuner, &format!("{tuner}{key}\n")),
                "a maintainer",
                "{key}"
            );
        }
        assert_eq!(
            decision_text(&touched, tuner, &format!("# a comment\n{tuner}")),
            "code",
            "what it says is the same"
        );
    }

    #[test]
    fn lock_files_and_protected_paths_are_evaluators() {
        let manifest =
            "[python]\nlock = \"./requirements.lock\"\n[architect]\nprotect = [\"prices/\"]\n";
        let modified =
            |path| decision_text(&touched(path, PathStatus::Modified), manifest, manifest);
        assert_eq!(modified("requirements.lock"), "a maintainer");
        assert_eq!(modified("prices/2026.csv"), "a maintainer");
        assert_eq!(
            modified("tests/a.py"),
            "a maintainer",
            "a list of one's own takes nothing away"
        );
        assert_eq!(modified("requirements.txt"), "code");
    }

    #[test]
    fn path_has_one_normal_form() {
        let before = ["agent.toml", "runner/a.py"];
        let check = |changes: &[(&str, PathStatus)], expected: Option<&str>| {
            let changes: Vec<_> =
                changes.iter().flat_map(|(path, status)| touched(path, *status)).collect();
            let found = spelt_twice(before, &changes);
            assert_eq!(
                found.as_deref().map(|why| why.split(" are").next().unwrap()),
                expected,
                "{changes:?}"
            );
        };
        check(&[("runner/b.py", PathStatus::Added), ("agent.toml", PathStatus::Modified)], None);
        check(&[("AGENT.toml", PathStatus::Added)], Some("\"agent.toml\" and \"AGENT.toml\""));
        check(&[("AGENT.toml", PathStatus::Added), ("agent.toml", PathStatus::Removed)], None);
        check(&[("Runner/b.py", PathStatus::Added)], Some("\"runner\" and \"Runner\""));
        check(
            &[("x/B.py", PathStatus::Added), ("x/b.py", PathStatus::Added)],
            Some("\"x/B.py\" and \"x/b.py\""),
        );
    }
}
