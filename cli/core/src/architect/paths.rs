//! Which paths a coder may change, and which changes are judged by the old evaluators first.

use crate::manifest::Manifest;

/// More files than this in one change are no answer to a piece of feedback.
pub const FILES_LIMIT: usize = 1_000;

/// What no coder may change, and why.
const FORBIDDEN: [(&str, &str); 6] = [
    ("state/active.state.json", "the state is the Tuner's: feedback of another kind changes it"),
    ("state/staging.state.json", "what is being tuned is no part of a change"),
    (".git/", "a change is files, not a repository's inside"),
    (".agent/", "what `agent` keeps for itself is no part of a change"),
    (".githooks/", "hooks run on people's machines; a person changes them"),
    ("agent_runtime/", "the runtime carries the scorers' harness; `agent` brings a new one"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing was changed.
    Nothing,
    /// `protected`: evaluators are among the changed paths, so the old ones judge first.
    Allowed {
        protected: bool,
    },
    Refused {
        why: String,
    },
}

/// Judges the paths of a change, `/`-separated from the repository's root.
pub fn judge<'a>(paths: impl IntoIterator<Item = &'a str>, protect: &[String]) -> Judgement {
    let mut count = 0;
    let mut protected = false;
    for path in paths {
        count += 1;
        if let Some(why) = forbidden(path) {
            return Judgement::Refused { why: format!("the change touches `{path}`, and must not: {why}") };
        }
        protected |= protect.iter().any(|prefix| lies_under(path, prefix));
    }
    match count {
        0 => Judgement::Nothing,
        1..=FILES_LIMIT => Judgement::Allowed { protected },
        _ => Judgement::Refused { why: format!("the change touches {count} files; {FILES_LIMIT} are the most") },
    }
}

fn forbidden(path: &str) -> Option<&'static str> {
    let inside = path.split('/').any(|part| part.eq_ignore_ascii_case(".git"));
    if inside {
        return Some(FORBIDDEN[2].1);
    }
    FORBIDDEN.iter().find(|(prefix, _)| lies_under(path, prefix)).map(|(_, why)| *why)
}

/// Whether a path is the one named, or in the folder named; file systems that fold letter case are no way around.
pub fn lies_under(path: &str, prefix: &str) -> bool {
    let (path, prefix) = (path.to_lowercase(), prefix.trim_end_matches('/').to_lowercase());
    path.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The sections of a manifest that judge a change, or decide what is protected: a change must not change its own judges.
pub fn same_judges(old: &Manifest, new: &Manifest) -> Result<(), String> {
    let same = [
        ("promote", old.promote == new.promote),
        ("release", old.release == new.release),
        ("architect", old.architect == new.architect),
        ("limits", old.limits == new.limits),
        ("store", old.store == new.store),
    ];
    match same.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((section, _)) => {
            Err(format!("the change touches `[{section}]` in agent.toml, and must not: a change does not choose its judges"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], expected: &str) {
        let protect = ["tests/".to_owned(), "ci/".to_owned()];
        let told = match judge(paths.iter().copied(), &protect) {
            Judgement::Nothing => "nothing".to_owned(),
            Judgement::Allowed { protected } => if protected { "old evaluators first" } else { "fine" }.to_owned(),
            Judgement::Refused { why } => why.split(':').next().unwrap_or_default().to_owned(),
        };
        assert_eq!(told, expected, "{paths:?}");
    }

    #[test]
    fn paths_decide() {
        check(&[], "nothing");
        check(&["runner/words.py", "state/schema.json", "state/migrations/2.py"], "fine");
        check(&["runner/words.py", "tests/micro/a.jsonl"], "old evaluators first");
        check(&["Tests/micro/a.jsonl"], "old evaluators first");
        check(&["testsuite.py", "circus/a.py"], "fine");
        check(&["ci/budgets.json"], "old evaluators first");
        check(&["state/active.state.json"], "the change touches `state/active.state.json`, and must not");
        check(&["STATE/Active.State.json"], "the change touches `STATE/Active.State.json`, and must not");
        check(&["vendored/.git/config"], "the change touches `vendored/.git/config`, and must not");
        check(&[".gitignore", ".github/workflows/agent.yml"], "fine");
        check(&[".githooks/pre-commit"], "the change touches `.githooks/pre-commit`, and must not");
        check(&["agent_runtime/scorers.py"], "the change touches `agent_runtime/scorers.py`, and must not");
        let many: Vec<String> = (0..=FILES_LIMIT).map(|number| format!("runner/{number}.py")).collect();
        check(&many.iter().map(String::as_str).collect::<Vec<_>>(), "the change touches 1001 files; 1000 are the most");
    }

    #[test]
    fn a_change_does_not_choose_its_judges() {
        let manifest = |extra: &str| {
            let text = format!("schema = \"agent/manifest@1\"\nname = \"a\"\n[runner]\ncommand = [\"python\"]\n{extra}");
            Manifest::parse(&text, "agent.toml").unwrap()
        };
        let old = manifest("");
        assert_eq!(same_judges(&old, &manifest("[python]\nrequires = \">=3.12\"\n")), Ok(()));
        for section in ["[release]\ntier = \"micro\"\n", "[architect]\nprotect = []\n", "[promote]\ntier = \"micro\"\nmargin = 0.5\n"] {
            assert!(same_judges(&old, &manifest(section)).is_err(), "{section}");
        }
    }
}
