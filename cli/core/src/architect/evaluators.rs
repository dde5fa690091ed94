//! The decision on a coder's change to evaluators: no change is judged by its own evaluators, so it
//! is never released automatically, unless it only adds cases and that is allowed.
//!
//! Added cases judge nothing before a maintainer has released them, so these rules check the
//! content of the file and not the results.

use crate::architect::paths::Evaluator;
use crate::formats::manifest::{EvaluatorChanges, Tier};
use crate::testing::case::{Case, Cases};
use crate::testing::case_result::is_held_out;
use crate::testing::expectation::{Check, Expectation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A change with more cases than this needs a maintainer's review.
pub const CASES_LIMIT: usize = 200;
/// How many evaluators a reason names.
const SHOWN: usize = 8;
/// The keys that a case added by a coder may have.
const KEYS: [&str; 7] = ["id", "tool", "arguments", "expect", "turns", "tags", "weight"];

/// What a change does to the evaluators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Effect {
    /// They are what they were.
    None,
    /// Only cases are added.
    Additions { cases: usize },
    /// Only a maintainer may release this.
    Person { why: String },
}

/// A file of cases on both sides of a change; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFile {
    pub path: String,
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

/// The files that have to be read before a change can be called an addition; `None` where it is
/// more than that already.
pub fn files_to_read(evaluators: &[Evaluator], mode: EvaluatorChanges) -> Option<Vec<&str>> {
    if mode == EvaluatorChanges::Propose {
        return None;
    }
    evaluators
        .iter()
        .map(|evaluator| tier_of(&evaluator.path).map(|_| evaluator.path.as_str()))
        .collect()
}

/// The effect of a change: the evaluators it touches, and where `files_to_read` named some, those
/// files and all cases of the version that is served.
pub fn effect(
    evaluators: &[Evaluator],
    mode: EvaluatorChanges,
    read: Option<(&[CaseFile], &BTreeMap<Tier, Cases>)>,
) -> Effect {
    if evaluators.is_empty() {
        return Effect::None;
    }
    let touched = format!(
        "it changes evaluators, which needs a maintainer's approval: {}",
        shown(evaluators)
    );
    match (mode, read) {
        (EvaluatorChanges::AllowAdditions, Some((files, served))) => match additions(files, served)
        {
            Ok(cases) => Effect::Additions { cases },
            Err(why) => {
                Effect::Person { why: format!("{touched}; it does more than add cases: {why}") }
            }
        },
        (EvaluatorChanges::AllowAdditions, None) => {
            Effect::Person { why: format!("{touched}; only cases may be added without one") }
        }
        (EvaluatorChanges::Propose, _) => Effect::Person { why: touched },
    }
}

fn shown(evaluators: &[Evaluator]) -> String {
    let named: Vec<_> = evaluators
        .iter()
        .take(SHOWN)
        .map(|evaluator| format!("{} ({})", evaluator.path, evaluator.why))
        .collect();
    let more = evaluators.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
}

/// The tier of a file of cases that are not held out.
fn tier_of(path: &str) -> Option<Tier> {
    let (tier, rest) = path.strip_prefix("tests/")?.split_once('/')?;
    let is_case_file = rest.strip_suffix(".jsonl").is_some_and(|name| !name.is_empty())
        && !is_held_out(&path.to_lowercase());
    tier.parse().ok().filter(|_| is_case_file)
}

/// The number of added cases, where the files have no other change.
fn additions(files: &[CaseFile], served: &BTreeMap<Tier, Cases>) -> Result<usize, String> {
    let mut known = Known::of(served);
    let mut count = 0;
    for file in files {
        let tier =
            tier_of(&file.path).ok_or_else(|| format!("{} is not a file of cases", file.path))?;
        if served.get(&tier).is_none_or(|cases| cases.list.is_empty()) {
            return Err(format!("the {tier} tier has no case yet"));
        }
        for case in added(file)? {
            known.admits(&case).map_err(|why| format!("{}: {why}", case.place))?;
            known.ids.insert(case.id);
            count += 1;
        }
    }
    match count {
        0 => Err("no case is added".to_owned()),
        1..=CASES_LIMIT => Ok(count),
        _ => Err(format!("it adds {count} cases; at most {CASES_LIMIT} are allowed")),
    }
}

/// The cases of a file that were not there before; those that were have to be there still, in their
/// order, each as it was.
fn added(file: &CaseFile) -> Result<Vec<Case>, String> {
    let text =
        |bytes| std::str::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", file.path));
    let after = text(file.after.as_deref().ok_or_else(|| format!("{} is gone", file.path))?)?;
    let mut cases = Cases::default();
    cases.read(after, &file.path).map_err(|error| error.to_string())?;
    let before = values(text(file.before.as_deref().unwrap_or_default())?);
    let mut kept = before.iter().peekable();
    let mut is_new = Vec::new();
    for value in &values(after) {
        is_new.push(kept.next_if(|old| *old == value).is_none());
    }
    match kept.next() {
        Some(lost) => {
            Err(format!("{}: the case {} is changed, moved or removed", file.path, lost["id"]))
        }
        None => Ok(cases
            .list
            .into_iter()
            .zip(is_new)
            .filter_map(|(case, is_new)| is_new.then_some(case))
            .collect()),
    }
}

/// The parsed lines; the served version has no empty line.
fn values(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_default())
        .collect()
}

/// The arguments of the commands that judge cases: those that name files of the repository are
/// evaluators at any path. Unreadable lines have none.
pub fn judging_arguments<'a>(case_files: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for line in case_files.into_iter().flat_map(str::lines) {
        let case: Value = serde_json::from_str(line).unwrap_or_default();
        let turns = case["turns"].as_array().map_or(&[][..], Vec::as_slice);
        for step in turns.iter().chain([&case]) {
            let run = step["expect"]["command"]["run"].as_array();
            words.extend(
                run.into_iter()
                    .flatten()
                    .filter_map(|word| Some(word.as_str()?.trim_start_matches("./").to_owned())),
            );
        }
    }
    words
}

/// The evaluators of the served version.
struct Known {
    ids: BTreeSet<String>,
    scorers: BTreeSet<String>,
    commands: BTreeSet<Vec<String>>,
}

impl Known {
    fn of(served: &BTreeMap<Tier, Cases>) -> Self {
        let cases = || served.values().flat_map(|cases| &cases.list);
        let expectations =
            || cases().flat_map(|case| case.steps.iter().filter_map(|step| step.expect.as_ref()));
        Self {
            ids: cases().map(|case| case.id.clone()).collect(),
            scorers: expectations()
                .filter_map(|expect| {
                    if let Expectation::Scorer(scorer) = expect {
                        Some(scorer.name.clone())
                    } else {
                        None
                    }
                })
                .collect(),
            commands: expectations()
                .filter_map(|expect| {
                    if let Expectation::Command(command) = expect {
                        Some(command.run.clone())
                    } else {
                        None
                    }
                })
                .collect(),
        }
    }

    fn admits(&self, case: &Case) -> Result<(), String> {
        if self.ids.contains(&case.id) {
            return Err(format!("the id {:?} is taken", case.id));
        }
        if let Some(key) = case.keys().into_iter().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!(
                "{key:?} is not allowed in a case that is added without a \
                maintainer"
            ));
        }
        if case.weight > 1.0 {
            return Err(format!("its weight is {}; at most 1 is allowed", case.weight));
        }
        case.steps
            .iter()
            .filter_map(|step| step.expect.as_ref())
            .try_for_each(|expect| self.admits_judge(expect))
    }

    fn admits_judge(&self, expect: &Expectation) -> Result<(), String> {
        match expect {
            Expectation::Scorer(scorer) if !self.scorers.contains(&scorer.name) => {
                Err(format!("no case is judged by the scorer {:?} so far", scorer.name))
            }
            Expectation::Command(command) if !self.commands.contains(&command.run) => {
                Err(format!("no case is judged by the command {:?} so far", command.run.join(" ")))
            }
            Expectation::Local(check) if names_a_file(check) => {
                Err("it names a golden file".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn names_a_file(check: &Check) -> bool {
    match check {
        Check::Golden(_) => true,
        Check::Error(check) => names_a_file(check),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED: &str = r#"{"id":"a","tool":"t","expect":{"scorer":{"name":"close"}}}
{"id":"b","tool":"t","expect":{"equals":1},"weight":2}
"#;
    const NEW: &str = r#"{"id":"c","tool":"t","expect":{"equals":1}}"#;

    fn cases(tier: Tier, text: &str) -> (Tier, Cases) {
        let mut cases = Cases::default();
        cases.read(text, "tests/x.jsonl").unwrap();
        (tier, cases)
    }

    /// The decision on a change of a file with the content `SERVED`.
    fn decision_text(
        path: &str,
        before: Option<&str>,
        after: Option<&str>,
        mode: EvaluatorChanges,
    ) -> String {
        let served = BTreeMap::from([
            cases(Tier::Fast, SERVED),
            cases(Tier::Full, ""),
            cases(Tier::Micro, r#"{"id":"m","tool":"t","expect":{"equals":1}}"#),
        ]);
        let evaluators = [Evaluator { path: path.to_owned(), why: "it judges".to_owned() }];
        let file = CaseFile {
            path: path.to_owned(),
            before: before.map(Into::into),
            after: after.map(Into::into),
        };
        let to_read = files_to_read(&evaluators, mode);
        let files = [file];
        match effect(&evaluators, mode, to_read.map(|_| (&files[..], &served))) {
            Effect::None => "none".to_owned(),
            Effect::Additions { cases } => format!("{cases} added"),
            Effect::Person { why } => why,
        }
    }

    #[track_caller]
    fn check(path: &str, before: Option<&str>, after: Option<&str>, expected: &str) {
        let found = decision_text(path, before, after, EvaluatorChanges::AllowAdditions);
        assert!(found.contains(expected), "{found} does not say {expected:?}");
        let proposed = decision_text(path, before, after, EvaluatorChanges::Propose);
        assert_eq!(
            proposed,
            format!(
                "it changes evaluators, which needs a maintainer's approval: {path} (it \
                judges)"
            )
        );
    }

    #[test]
    fn added_cases_are_the_only_accepted_evaluator_change() {
        let fast = "tests/fast/a.jsonl";
        let with = |line: &str| format!("{SERVED}{line}\n");
        check(fast, Some(SERVED), Some(&with(NEW)), "1 added");
        check(fast, Some(SERVED), Some(&format!("{NEW}\n\n{SERVED}")), "1 added");
        check("tests/fast/more/b.jsonl", None, Some(NEW), "1 added");
        // the same, written differently
        check(
            fast,
            Some(SERVED),
            Some(&with(NEW).replace("\"weight\":2}", " \"weight\" : 2 }")),
            "1 added",
        );
        let known = r#"{"id":"d","tool":"t","expect":{"scorer":{"name":"close","at_least":0.1}},"tags":["x"],"weight":0.5}"#;
        check(fast, Some(SERVED), Some(&with(known)), "1 added");
    }

    #[test]
    fn other_evaluator_changes_need_a_maintainer() {
        let fast = "tests/fast/a.jsonl";
        let with = |line: &str| format!("{SERVED}{line}\n");
        check(fast, Some(SERVED), None, "is gone");
        check(fast, Some(SERVED), Some(""), "the case \"a\" is changed, moved or removed");
        check(fast, Some(SERVED), Some(SERVED), "no case is added");
        check(
            fast,
            Some(SERVED),
            Some(&with(NEW).replace("\"weight\":2", "\"weight\":1")),
            "the case \"b\" is changed",
        );
        check(
            fast,
            Some(SERVED),
            Some(&with(NEW).replace("\"id\":\"b\"", "\"id\":\"b\",\"repeats\":2")),
            "the case \"b\" is changed",
        );
        let reversed = SERVED.lines().rev().chain([NEW]).collect::<Vec<_>>().join("\n");
        check(fast, Some(SERVED), Some(&reversed), "the case \"b\" is changed, moved or removed");
        for (line, why) in [
            (r#"{"id":"m","tool":"t","expect":{"equals":1}}"#, "the id \"m\" is taken"),
            (r#"{"id":"c","tool":"t","expect":{"scorer":{"name":"kind"}}}"#, "the scorer \"kind\""),
            (
                r#"{"id":"c","tool":"t","expect":{"command":{"run":["sh","x"]}}}"#,
                "the command \"sh x\"",
            ),
            (r#"{"id":"c","tool":"t","expect":{"golden":"c.txt"}}"#, "it names a golden file"),
            (r#"{"id":"c","tool":"t","expect":{"equals":1},"weight":1.5}"#, "its weight is 1.5"),
            (
                r#"{"id":"c","tool":"t","expect":{"equals":1},"must":true}"#,
                "\"must\" is not allowed in a case",
            ),
            (
                r#"{"id":"c","tool":"t","expect":{"equals":1},"repeats":100}"#,
                "\"repeats\" is not allowed in a case",
            ),
            (
                r#"{"id":"c","tool":"t","expect":{"equals":1},"quarantine":{"until":"2099-01-31","why":"x"}}"#,
                "\"quarantine\" is not allowed in a case",
            ),
            ("{", "no JSON"),
        ] {
            check(fast, Some(SERVED), Some(&with(line)), why);
        }
        check("tests/full/a.jsonl", None, Some(NEW), "the full tier has no case yet");
        check("tests/fast/heldout/a.jsonl", None, Some(NEW), "only cases may be added");
        check("tests/fast/Heldout/a.jsonl", None, Some(NEW), "only cases may be added");
        check("tests/scorers.py", None, Some(NEW), "only cases may be added");
        check("tests/fast/.jsonl", None, Some(NEW), "only cases may be added");
        check("Tests/fast/a.jsonl", None, Some(NEW), "only cases may be added");
        let many: String = (0..=CASES_LIMIT)
            .map(|number| NEW.replace("\"c\"", &format!("\"c{number}\"")) + "\n")
            .collect();
        check(fast, Some(SERVED), Some(&with(&many)), "it adds 201 cases");
    }

    #[test]
    fn scorer_commands_name_files() {
        let text = r#"{"id":"a","tool":"t","expect":{"command":{"run":["python","./tools/judge.py"]}}}
{"id":"b","turns":[{"tool":"t"},{"tool":"t","expect":{"command":{"run":["tools/other"]}}}]}
{"id":"c","expect":{"command":{"run":3}}}
torn"#;
        let words: Vec<_> = judging_arguments([text, ""]).into_iter().collect();
        assert_eq!(words, ["python", "tools/judge.py", "tools/other"]);
    }

    #[test]
    fn a_long_list_of_evaluators_is_cut() {
        let evaluators: Vec<_> = (0..10)
            .map(|number| Evaluator { path: format!("ci/{number}"), why: "x".to_owned() })
            .collect();
        let Effect::Person { why } = effect(&evaluators, EvaluatorChanges::Propose, None) else {
            panic!("needs a maintainer")
        };
        assert!(why.ends_with("ci/7 (x) and 2 more"), "{why}");
        assert_eq!(effect(&[], EvaluatorChanges::Propose, None), Effect::None);
    }
}
