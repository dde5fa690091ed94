//! Cases: one JSON object a line.

use crate::formats::document::{self, DocumentError, Fields};
use crate::formats::object_id::short_digest;
use crate::testing::expectation::{Check, Expectation, Golden};
use crate::testing::opinion::CommandCall;
use crate::testing::quarantine::Quarantine;
use crate::testing::repetition;
use crate::testing::scratch::{FileCheck, Files};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;
use std::time::Duration;

const KEYS: [&str; 12] = [
    "id",
    "tool",
    "arguments",
    "expect",
    "turns",
    "weight",
    "tags",
    "must",
    "repeats",
    "quarantine",
    "limit_s",
    "files",
];
/// A day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Within these no sum of weights, and no square of one, is beyond what a double holds.
const WEIGHTS: RangeInclusive<f64> = 1e-9..=1e9;
const TURN_KEYS: [&str; 3] = ["tool", "arguments", "expect"];

#[derive(Debug)]
pub struct Case {
    pub id: String,
    /// One call, or the turns of one conversation.
    pub steps: Vec<Step>,
    pub is_conversation: bool,
    pub weight: f64,
    pub tags: Vec<String>,
    /// When it does not pass, nothing else matters.
    pub must: bool,
    /// How often it is run; it passes when every run does.
    pub repeats: u32,
    pub quarantine: Option<Quarantine>,
    /// Whether the quarantine is in force on the day given to `Cases::as_of`.
    pub quarantined: bool,
    /// The time limit of each of its calls, where it sets one.
    pub limit: Option<Duration>,
    /// Its side effects on a scratch folder.
    pub files: Option<Files>,
    /// `FILE:LINE`.
    pub place: String,
    /// As it was written.
    line: Box<str>,
    /// Digests of the case's definition: its line, and the files that the line names.
    pub defined_by: Vec<String>,
}

#[derive(Debug)]
pub struct Step {
    pub tool: String,
    pub arguments: Value,
    pub expect: Option<Expectation>,
}

/// Cases of several files, no id twice.
#[derive(Debug, Default)]
pub struct Cases {
    pub list: Vec<Case>,
    places: HashMap<String, usize>,
}

impl Cases {
    /// Adds the cases of a file; `file` names it in errors. Empty lines are skipped.
    pub fn read(&mut self, text: &str, file: &str) -> Result<(), DocumentError> {
        for (index, line) in document::without_mark(text)
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            self.add(parse_line(line, format!("{file}:{}", index + 1))?)?;
        }
        Ok(())
    }

    fn add(&mut self, case: Case) -> Result<(), DocumentError> {
        match self.places.entry(case.id.clone()) {
            Entry::Occupied(first) => {
                let other = &self.list[*first.get()].place;
                Err(DocumentError::new(
                    case.place,
                    format!("the id \"{}\" is taken by {other}", case.id),
                    "give each case a unique id",
                ))
            }
            Entry::Vacant(free) => {
                free.insert(self.list.len());
                self.list.push(case);
                Ok(())
            }
        }
    }

    /// The day, which decides whether a quarantine has ended.
    pub fn as_of(&mut self, today: &str) {
        for case in &mut self.list {
            case.quarantined =
                case.quarantine.as_ref().is_some_and(|quarantine| quarantine.is_in_force(today));
        }
    }

    /// The ids of what is in quarantine.
    pub fn quarantined(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter(|case| case.quarantined).map(|case| case.id.as_str())
    }

    /// Runs each case at least so often.
    pub fn repeat(&mut self, repeats: u32) {
        for case in &mut self.list {
            case.repeats = case.repeats.max(repeats);
        }
    }

    /// The scorers that cases name, and where each is named first.
    pub fn scorers(&self) -> Vec<(&str, &str)> {
        let mut scorers: Vec<(&str, &str)> = Vec::new();
        for case in &self.list {
            for step in &case.steps {
                if let Some(Expectation::Scorer(scorer)) = &step.expect
                    && !scorers.iter().any(|(name, _)| *name == scorer.name)
                {
                    scorers.push((&scorer.name, &case.place));
                }
            }
        }
        scorers
    }
}

impl Case {
    /// Whether programs of the evaluators score its answers.
    pub fn is_scored(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(step.expect, Some(Expectation::Scorer(_) | Expectation::Command(_)))
        })
    }

    /// Equal for cases with the same calls and expectations, in any file. `scorers` is the digest
    /// of the programs that score, for a case that is scored by them.
    pub fn definition(&self, scorers: &str) -> String {
        match &self.defined_by[..] {
            [line] if !self.is_scored() => line.clone(),
            all if self.is_scored() => {
                short_digest(format!("{} {scorers}", all.join(" ")).as_bytes())
            }
            all => short_digest(all.join(" ").as_bytes()),
        }
    }

    /// The golden files it is held to.
    pub fn goldens_mut(&mut self) -> impl Iterator<Item = &mut Golden> {
        let answers = self.steps.iter_mut().filter_map(|step| step.expect.as_mut()?.golden_mut());
        let files = self.files.as_mut().map_or(&mut [][..], |files| &mut files.expect);
        answers.chain(files.iter_mut().filter_map(|(_, check)| match check {
            FileCheck::Content(Check::Golden(golden)) => Some(golden),
            _ => None,
        }))
    }

    /// The commands that judge it.
    pub fn commands_mut(&mut self) -> impl Iterator<Item = &mut CommandCall> {
        self.steps.iter_mut().filter_map(|step| match &mut step.expect {
            Some(Expectation::Command(command)) => Some(command),
            _ => None,
        })
    }

    /// The case as a scorer gets it for a step.
    pub fn shown_to_scorer(&self, step: usize) -> Value {
        let mut shown =
            json!({"id": self.id, "tags": self.tags, "weight": self.weight, "must": self.must});
        let Value::Object(written) = self.written(step) else {
            unreachable!("a step is an object")
        };
        shown.as_object_mut().expect("it was made as one").extend(written);
        shown
    }

    /// The keys of its line.
    pub fn keys(&self) -> Vec<String> {
        let whole: Map<String, Value> =
            serde_json::from_str(&self.line).expect("it was read before");
        whole.into_iter().map(|(key, _)| key).collect()
    }

    /// A step as it was written: it is rarely needed, so it is parsed on demand.
    pub fn written(&self, step: usize) -> Value {
        let mut whole: Value = serde_json::from_str(&self.line).expect("it was read before");
        let written = if self.is_conversation { whole["turns"][step].take() } else { whole };
        let known = |(key, _): &(String, Value)| TURN_KEYS.contains(&key.as_str());
        let mut written = written
            .as_object()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .filter(known)
            .collect::<Map<_, _>>();
        written.entry("arguments").or_insert_with(|| json!({}));
        Value::Object(written)
    }
}

fn parse_line(line: &str, place: String) -> Result<Case, DocumentError> {
    let value: Value = document::parse(line).map_err(|flaw| flaw.on_line(&place))?;
    let mut fields = Fields::new(value, &place, "a case", &KEYS)?;
    let id = fields.text("id")?.ok_or_else(|| {
        fields.missing("id", "give the case an id, which identifies its results over time")
    })?;
    let weight = fields.number("weight")?.unwrap_or(1.0);
    if !WEIGHTS.contains(&weight) {
        let problem =
            format!("\"weight\" is {weight}, not from {} to {}", WEIGHTS.start(), WEIGHTS.end());
        return Err(fields.error(problem, "leave it out for 1"));
    }
    let tags = tags(&mut fields)?;
    let must = fields.flag("must")?;
    let repeats = fields.count("repeats", 2..=repetition::MOST)?.unwrap_or(1);
    let quarantine =
        fields.take("quarantine").map(|value| Quarantine::parse(value, &place)).transpose()?;
    let limit = limit(&mut fields)?;
    let files = fields.take("files").map(|value| Files::parse(value, &place)).transpose()?;
    let turns = fields.list("turns")?;
    let is_conversation = turns.is_some();
    let steps = match turns {
        Some(turns) => conversation(&mut fields, turns, &place)?,
        None => vec![step(&mut fields, &place)?],
    };
    let looks_at_files = files.as_ref().is_some_and(|files| !files.expect.is_empty());
    if steps.iter().all(|step| step.expect.is_none()) && !looks_at_files {
        return Err(fields.missing(
            "expect",
            "add what the case expects, such as {\"equals\": ...}; of a \
                conversation at least one turn does",
        ));
    }
    let defined_by = vec![short_digest(line.as_bytes())];
    Ok(Case {
        id,
        steps,
        is_conversation,
        weight,
        tags,
        must,
        repeats,
        quarantine,
        quarantined: false,
        limit,
        files,
        place,
        line: line.into(),
        defined_by,
    })
}

fn limit(fields: &mut Fields) -> Result<Option<Duration>, DocumentError> {
    let Some(seconds) = fields.number("limit_s")? else { return Ok(None) };
    let limit = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|limit| !limit.is_zero() && *limit <= LONGEST);
    limit.map(Some).ok_or_else(|| {
        let problem =
            format!("\"limit_s\" is {seconds}, not above 0 and at most {}", LONGEST.as_secs());
        fields.error(
            problem,
            "write how many seconds a call may take, or leave it out for \
            `limits.call_s` of agent.toml",
        )
    })
}

fn tags(fields: &mut Fields) -> Result<Vec<String>, DocumentError> {
    let tags = fields.list("tags")?.unwrap_or_default();
    tags.iter()
        .map(|tag| {
            tag.as_str()
                .map(str::to_owned)
                .ok_or_else(|| fields.wrong("tags", tag, "a list of texts"))
        })
        .collect()
}

fn conversation(
    fields: &mut Fields,
    turns: Vec<Value>,
    place: &str,
) -> Result<Vec<Step>, DocumentError> {
    if let Some(key) = TURN_KEYS.into_iter().find(|key| fields.take(key).is_some()) {
        return Err(fields.error(
            format!("\"{key}\" cannot be combined with \"turns\""),
            format!("move \"{key}\" into a turn"),
        ));
    }
    if turns.is_empty() {
        return Err(fields.error(
            "\"turns\" is empty",
            "write at least one {\"tool\": ..., \"arguments\": ..., \"expect\": ...}",
        ));
    }
    turns
        .into_iter()
        .map(|turn| step(&mut Fields::new(turn, place, "a turn", &TURN_KEYS)?, place))
        .collect()
}

fn step(fields: &mut Fields, place: &str) -> Result<Step, DocumentError> {
    let tool = fields
        .text("tool")?
        .ok_or_else(|| fields.missing("tool", "name the tool to call (or give \"turns\")"))?;
    let arguments = match fields.take("arguments") {
        None => Value::Object(Map::new()),
        Some(arguments @ Value::Object(_)) => arguments,
        Some(other) => return Err(fields.wrong("arguments", &other, "an object")),
    };
    let expect =
        fields.take("expect").map(|expect| Expectation::parse(expect, place)).transpose()?;
    Ok(Step { tool, arguments, expect })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_calls_and_conversations() {
        let mut cases = Cases::default();
        let text = "{\"id\":\"a\",\"tool\":\"t\",\"expect\":{\"equals\":1}}\n\n{\"id\":\"b\",\"turns\":[{\"tool\":\"t\"},{\"tool\":\"u\",\"arguments\":{\"x\":1},\"expect\":{\"scorer\":{\"name\":\"mrr\",\"k\":3}}}],\"weight\":2,\"tags\":[\"x\"],\"must\":true}\n";
        cases.read(text, "tests/micro/a.jsonl").unwrap();
        let [a, b] = &cases.list[..] else { panic!("two cases") };
        assert_eq!(
            (a.id.as_str(), a.place.as_str(), a.must, a.weight),
            ("a", "tests/micro/a.jsonl:1", false, 1.0)
        );
        assert_eq!(
            (b.place.as_str(), b.is_conversation, b.steps.len(), b.must),
            ("tests/micro/a.jsonl:3", true, 2, true)
        );
        assert_eq!(cases.scorers(), [("mrr", "tests/micro/a.jsonl:3")]);
        let shown = b.shown_to_scorer(1);
        assert_eq!(shown["expect"]["scorer"]["k"], 3);
        assert_eq!(shown["id"], "b");
    }

    proptest! {
        /// Whatever a line holds, it is a case or an error that names its place.
        #[test]
        fn arbitrary_line_never_panics(value in any_json(),
            key in prop::sample::select(KEYS.to_vec()), torn in 0usize..60) {
            let mut case = json!({"id": "a", "tool": "t", "expect": {"equals": 1}});
            case[key] = value.clone();
            let line = case.to_string();
            let cut: String = line.chars().take(torn).collect();
            for line in [line, cut, value.to_string(), json!({"id": "a", "tool": "t",
                "expect": value}).to_string()] {
                if let Err(error) = Cases::default().read(&line, "c.jsonl") {
                    prop_assert!(error.place.starts_with("c.jsonl:1") && !error.hint.is_empty(),
                        "{error:?}");
                }
            }
        }
    }

    /// Arbitrary JSON with the keys of cases.
    fn any_json() -> impl Strategy<Value = Value> {
        let word = || {
            prop::sample::select(vec![
                "equals",
                "regex",
                "schema",
                "golden",
                "ranking",
                "similar",
                "scorer",
                "command",
                "error",
                "approx",
                "subset",
                "files",
                "given",
                "expect",
                "copy",
                "absent",
                "until",
                "why",
                "run",
                "votes",
                "relevant",
                "metric",
                "k",
                "text",
                "value",
                "name",
                "mrr",
                "2027-01-31",
                "(",
                "../x",
                "",
                "é",
                "type",
            ])
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((word(), inner), 0..3).prop_map(|members| Value::Object(
                    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )),
            ]
        })
    }

    #[track_caller]
    fn check(lines: &str, message: &str) {
        let error = Cases::default().read(lines, "c.jsonl").unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!error.hint.is_empty());
    }

    #[test]
    fn a_wrong_case_names_file_line_and_key() {
        let good = "{\"id\":\"a\",\"tool\":\"t\",\"expect\":{\"equals\":1}}";
        check(&format!("{good}\n{good}"), "c.jsonl:2: the id \"a\" is taken by c.jsonl:1");
        check(&format!("{good}\n{{\"id\":"), "c.jsonl:2:6: no JSON: EOF while parsing a value");
        check("[1]", "c.jsonl:1: a case is a list, not an object");
        check(
            "{\"id\":\"a\",\"tol\":\"t\"}",
            "c.jsonl:1: \"tol\" is not a key of a case (did you mean \"tool\"?)",
        );
        check("{\"tool\":\"t\",\"expect\":{\"equals\":1}}", "c.jsonl:1: \"id\" is missing");
        check("{\"id\":\"a\",\"tool\":\"t\"}", "c.jsonl:1: \"expect\" is missing");
        check("{\"id\":\"a\",\"expect\":{\"equals\":1}}", "c.jsonl:1: \"tool\" is missing");
        check("{\"id\":3,\"tool\":\"t\"}", "c.jsonl:1: \"id\" is 3, not a text that is not empty");
        check(
            "{\"id\":\"a\",\"tool\":\"t\",\"arguments\":[]}",
            "c.jsonl:1: \"arguments\" is a list, not an object",
        );
        check(
            "{\"id\":\"a\",\"tool\":\"t\",\"weight\":0,\"expect\":{}}",
            "c.jsonl:1: \"weight\" is 0, not from 0.000000001 to 1000000000",
        );
        check(
            "{\"id\":\"a\",\"tool\":\"t\",\"tool\":\"u\"}",
            "c.jsonl:1:22: the key \"tool\" appears twice in one object",
        );
        check(
            "{\"id\":\"a\",\"tool\":\"t\",\"arguments\":{\"x\":1,\"x\":2}}",
            "c.jsonl:1:41: the key \"x\" appears twice in one object",
        );
        check(
            "{\"id\":\"a\",\"tool\":\"t\",\"tags\":[1]}",
            "c.jsonl:1: \"tags\" is 1, not a list of texts",
        );
        for repeats in ["1", "101", "2.5", "-3", "\"5\""] {
            let shown = if repeats.starts_with('"') { "a text" } else { repeats };
            check(
                &format!("{{\"id\":\"a\",\"repeats\":{repeats}}}"),
                &format!("c.jsonl:1: \"repeats\" is {shown}, not a whole number from 2 to 100"),
            );
        }
        check(
            "{\"id\":\"a\",\"quarantine\":{\"until\":\"2027-13-01\",\"why\":\"x\"}}",
            "c.jsonl:1: \"until\" is \"2027-13-01\", no date",
        );
        for limit in ["0", "-1", "1e300", "86401"] {
            let line = format!("{{\"id\":\"a\",\"limit_s\":{limit}}}");
            let error = Cases::default().read(&line, "c.jsonl").unwrap_err().to_string();
            assert!(
                error.starts_with("c.jsonl:1: \"limit_s\" is ")
                    && error.ends_with("not above 0 and at most 86400"),
                "{error}"
            );
        }
        check(
            "{\"id\":\"a\",\"files\":{\"given\":{\"../x\":\"\"}}}",
            "c.jsonl:1: \"../x\" under \"given\" is not a file inside the scratch folder",
        );
        check(
            "{\"id\":\"a\",\"tool\":\"t\",\"files\":{\"given\":{\"x\":\"\"}}}",
            "c.jsonl:1: \"expect\" is missing",
        );
        check("{\"id\":\"a\",\"turns\":[]}", "c.jsonl:1: \"turns\" is empty");
        check("{\"id\":\"a\",\"turns\":[{\"tool\":\"t\"}]}", "c.jsonl:1: \"expect\" is missing");
        check(
            "{\"id\":\"a\",\"turns\":[{\"tool\":\"t\"}],\"expect\":{\"equals\":1}}",
            "c.jsonl:1: \"expect\" cannot be combined with \"turns\"",
        );
        check(
            "{\"id\":\"a\",\"turns\":[{\"too\":\"t\"}]}",
            "c.jsonl:1: \"too\" is not a key of a turn (did you mean \"tool\"?)",
        );
    }
}
