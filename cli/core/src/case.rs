//! Cases: one JSON object a line.

use crate::document::{DocumentError, Fields};
use crate::expectation::Expectation;
use crate::quarantine::Quarantine;
use crate::repetition;
use crate::trace::short_digest;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

const KEYS: [&str; 10] = ["id", "tool", "arguments", "expect", "turns", "weight", "tags", "must", "repeats", "quarantine"];
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
    /// Whether that is in force, by the day that `Cases::as_of` was told.
    pub quarantined: bool,
    /// `FILE:LINE`.
    pub place: String,
    /// Digests of all that says what the case asks and expects: its line, and the files that the line names.
    pub defined_by: Vec<String>,
}

#[derive(Debug)]
pub struct Step {
    pub tool: String,
    pub arguments: Value,
    pub expect: Option<Expectation>,
    /// The step as it was written, for scorers.
    pub written: Value,
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
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
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
                    "give each case an id of its own",
                ))
            }
            Entry::Vacant(free) => {
                free.insert(self.list.len());
                self.list.push(case);
                Ok(())
            }
        }
    }

    /// What day it is: puts cases into quarantine.
    pub fn as_of(&mut self, today: &str) {
        for case in &mut self.list {
            case.quarantined = case.quarantine.as_ref().is_some_and(|quarantine| quarantine.is_in_force(today));
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

    /// Which scorers are asked for, and where first.
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
    /// Equal for cases that ask and expect the same, wherever they stand. `scorers` is the digest of the files that score, for a case that is scored by them.
    pub fn definition(&self, scorers: &str) -> String {
        let is_scored = self.steps.iter().any(|step| matches!(step.expect, Some(Expectation::Scorer(_))));
        let scorers = if is_scored { scorers } else { "" };
        short_digest(format!("{} {scorers}", self.defined_by.join(" ")).as_bytes())
    }

    /// What a scorer is shown of the case for a step.
    pub fn shown_to_scorer(&self, step: &Step) -> Value {
        let mut shown = json!({"id": self.id, "tags": self.tags, "weight": self.weight, "must": self.must});
        for (key, value) in step.written.as_object().into_iter().flatten() {
            shown[key] = value.clone();
        }
        shown
    }
}

fn parse_line(line: &str, place: String) -> Result<Case, DocumentError> {
    let value: Value = serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
        DocumentError::new(format!("{place}:{}", error.column()), format!("no JSON: {problem}"), "a case is one JSON object on one line")
    })?;
    let mut fields = Fields::new(value, &place, "a case", &KEYS)?;
    let id = fields.text("id")?.ok_or_else(|| fields.missing("id", "give the case an id, by which its results are known over time"))?;
    let weight = fields.number("weight")?.unwrap_or(1.0);
    if !(weight > 0.0 && weight.is_finite()) {
        return Err(fields.error(format!("\"weight\" is {weight}, not above 0"), "leave it out for 1"));
    }
    let tags = tags(&mut fields)?;
    let must = fields.flag("must")?;
    let repeats = repeats(&mut fields)?;
    let quarantine = fields.take("quarantine").map(|value| Quarantine::parse(value, &place)).transpose()?;
    let turns = fields.list("turns")?;
    let is_conversation = turns.is_some();
    let steps = match turns {
        Some(turns) => conversation(&mut fields, turns, &place)?,
        None => vec![step(&mut fields, &place)?],
    };
    if steps.iter().all(|step| step.expect.is_none()) {
        return Err(
            fields.missing("expect", "say what the case expects, such as {\"equals\": ...}; of a conversation at least one turn does")
        );
    }
    let defined_by = vec![short_digest(line.as_bytes())];
    Ok(Case { id, steps, is_conversation, weight, tags, must, repeats, quarantine, quarantined: false, place, defined_by })
}

fn repeats(fields: &mut Fields) -> Result<u32, DocumentError> {
    let wanted = format!("a whole number from 2 to {}", repetition::MOST);
    let Some(value) = fields.take("repeats") else { return Ok(1) };
    let repeats = value.as_u64().and_then(|repeats| u32::try_from(repeats).ok());
    repeats.filter(|repeats| (2..=repetition::MOST).contains(repeats)).ok_or_else(|| fields.wrong("repeats", &value, &wanted))
}

fn tags(fields: &mut Fields) -> Result<Vec<String>, DocumentError> {
    let tags = fields.list("tags")?.unwrap_or_default();
    tags.iter().map(|tag| tag.as_str().map(str::to_owned).ok_or_else(|| fields.wrong("tags", tag, "a list of texts"))).collect()
}

fn conversation(fields: &mut Fields, turns: Vec<Value>, place: &str) -> Result<Vec<Step>, DocumentError> {
    if let Some(key) = TURN_KEYS.into_iter().find(|key| fields.take(key).is_some()) {
        return Err(fields.error(format!("\"{key}\" stands beside \"turns\""), format!("move \"{key}\" into a turn")));
    }
    if turns.is_empty() {
        return Err(fields.error("\"turns\" is empty", "write at least one {\"tool\": ..., \"arguments\": ..., \"expect\": ...}"));
    }
    turns.into_iter().map(|turn| step(&mut Fields::new(turn, place, "a turn", &TURN_KEYS)?, place)).collect()
}

fn step(fields: &mut Fields, place: &str) -> Result<Step, DocumentError> {
    let tool = fields.text("tool")?.ok_or_else(|| fields.missing("tool", "name the tool to call (or give \"turns\")"))?;
    let arguments = match fields.take("arguments") {
        None => Value::Object(Map::new()),
        Some(arguments @ Value::Object(_)) => arguments,
        Some(other) => return Err(fields.wrong("arguments", &other, "an object")),
    };
    let mut written = json!({"tool": tool, "arguments": arguments});
    let expect = match fields.take("expect") {
        None => None,
        Some(expect) => {
            written["expect"] = expect.clone();
            Some(Expectation::parse(expect, place)?)
        }
    };
    Ok(Step { tool, arguments, expect, written })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_calls_and_conversations() {
        let mut cases = Cases::default();
        let text = "{\"id\":\"a\",\"tool\":\"t\",\"expect\":{\"equals\":1}}\n\n{\"id\":\"b\",\"turns\":[{\"tool\":\"t\"},{\"tool\":\"u\",\"arguments\":{\"x\":1},\"expect\":{\"scorer\":{\"name\":\"mrr\",\"k\":3}}}],\"weight\":2,\"tags\":[\"x\"],\"must\":true}\n";
        cases.read(text, "tests/micro/a.jsonl").unwrap();
        let [a, b] = &cases.list[..] else { panic!("two cases") };
        assert_eq!((a.id.as_str(), a.place.as_str(), a.must, a.weight), ("a", "tests/micro/a.jsonl:1", false, 1.0));
        assert_eq!((b.place.as_str(), b.is_conversation, b.steps.len(), b.must), ("tests/micro/a.jsonl:3", true, 2, true));
        assert_eq!(cases.scorers(), [("mrr", "tests/micro/a.jsonl:3")]);
        let shown = b.shown_to_scorer(&b.steps[1]);
        assert_eq!(shown["expect"]["scorer"]["k"], 3);
        assert_eq!(shown["id"], "b");
    }

    #[track_caller]
    fn check(lines: &str, message: &str) {
        let error = Cases::default().read(lines, "c.jsonl").unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!error.mend.is_empty());
    }

    #[test]
    fn a_wrong_case_names_file_line_and_key() {
        let good = "{\"id\":\"a\",\"tool\":\"t\",\"expect\":{\"equals\":1}}";
        check(&format!("{good}\n{good}"), "c.jsonl:2: the id \"a\" is taken by c.jsonl:1");
        check(&format!("{good}\n{{\"id\":"), "c.jsonl:2:6: no JSON: EOF while parsing a value");
        check("[1]", "c.jsonl:1: a case is a list, not an object");
        check("{\"id\":\"a\",\"tol\":\"t\"}", "c.jsonl:1: \"tol\" is no key of a case (did you mean \"tool\"?)");
        check("{\"tool\":\"t\",\"expect\":{\"equals\":1}}", "c.jsonl:1: \"id\" is missing");
        check("{\"id\":\"a\",\"tool\":\"t\"}", "c.jsonl:1: \"expect\" is missing");
        check("{\"id\":\"a\",\"expect\":{\"equals\":1}}", "c.jsonl:1: \"tool\" is missing");
        check("{\"id\":3,\"tool\":\"t\"}", "c.jsonl:1: \"id\" is 3, not a text that is not empty");
        check("{\"id\":\"a\",\"tool\":\"t\",\"arguments\":[]}", "c.jsonl:1: \"arguments\" is a list, not an object");
        check("{\"id\":\"a\",\"tool\":\"t\",\"weight\":0,\"expect\":{}}", "c.jsonl:1: \"weight\" is 0, not above 0");
        check("{\"id\":\"a\",\"tool\":\"t\",\"tags\":[1]}", "c.jsonl:1: \"tags\" is 1, not a list of texts");
        for repeats in ["1", "101", "2.5", "-3", "\"5\""] {
            let shown = if repeats.starts_with('"') { "a text" } else { repeats };
            check(
                &format!("{{\"id\":\"a\",\"repeats\":{repeats}}}"),
                &format!("c.jsonl:1: \"repeats\" is {shown}, not a whole number from 2 to 100"),
            );
        }
        check("{\"id\":\"a\",\"quarantine\":{\"until\":\"2027-13-01\",\"why\":\"x\"}}", "c.jsonl:1: \"until\" is \"2027-13-01\", no date");
        check("{\"id\":\"a\",\"turns\":[]}", "c.jsonl:1: \"turns\" is empty");
        check("{\"id\":\"a\",\"turns\":[{\"tool\":\"t\"}]}", "c.jsonl:1: \"expect\" is missing");
        check("{\"id\":\"a\",\"turns\":[{\"tool\":\"t\"}],\"expect\":{\"equals\":1}}", "c.jsonl:1: \"expect\" stands beside \"turns\"");
        check("{\"id\":\"a\",\"turns\":[{\"too\":\"t\"}]}", "c.jsonl:1: \"too\" is no key of a turn (did you mean \"tool\"?)");
    }
}
