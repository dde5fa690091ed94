//! The brief of a coder, as data and as a page to read.

use crate::architect::feedback::Feedback;
use crate::formats::manifest::Tier;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

pub const SCHEMA: &str = "agent/brief@1";
/// More failing cases than this are counted and not shown.
pub const CASES_SHOWN: usize = 50;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Brief {
    pub schema: &'static str,
    pub run: String,
    pub attempt: u32,
    pub attempts: u32,
    pub time_limit_s: u64,
    /// The version the worktree holds.
    pub version: Option<String>,
    pub feedback: Vec<Feedback>,
    /// The conversations the feedback names.
    pub conversations: Vec<Conversation>,
    /// Cases that fail under the version that is served; held-out ones are never among them.
    pub failing: Vec<FailingCase>,
    /// How many more fail than are shown.
    pub failing_not_shown: usize,
    /// Measured figures of live traffic, where there are any.
    pub kpis: Vec<Value>,
    pub contract: Value,
    pub budgets: Value,
    pub inspirations: Vec<Idea>,
    /// Earlier attempts for this feedback, and why they were rejected.
    pub rejected: Vec<Rejected>,
    pub rules: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversation {
    pub id: String,
    pub turns: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailingCase {
    pub id: String,
    pub tier: Tier,
    /// File and line.
    pub place: String,
    /// The case as it is written.
    pub case: Value,
    pub score: f64,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Idea {
    pub id: String,
    pub title: String,
    pub about: String,
    pub not_for: String,
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    pub run: String,
    pub attempt: u32,
    pub why: String,
}

impl Idea {
    fn line(&self) -> String {
        let (about, not_for) = (self.about.trim(), self.not_for.trim());
        format!(
            "{} ({}): {about} Not for: {not_for} Source: {}",
            self.title,
            self.id,
            self.source.trim()
        )
    }
}

impl Brief {
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a brief is JSON") + "\n"
    }

    /// The brief as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut page =
            format!("# Change this agent: attempt {} of {}\n\n", self.attempt, self.attempts);
        page.push_str(
            "You are in a working tree of the agent's repository. Edit files here; the files as \
                you leave them are the change. ",
        );
        let _ = writeln!(page, "You have {} s.\n", self.time_limit_s);
        page.push_str("## Feedback\n\n");
        for item in &self.feedback {
            let about = item
                .conversation
                .as_ref()
                .map(|id| format!(", about conversation {id}"))
                .unwrap_or_default();
            let _ = writeln!(page, "{} ({}{about}):\n\n{}\n", item.id, item.at, quoted(&item.text));
        }
        self.conversations_in(&mut page);
        self.failing_in(&mut page);
        list(
            &mut page,
            "Rejected earlier",
            self.rejected
                .iter()
                .map(|one| format!("run {}, attempt {}: {}", one.run, one.attempt, one.why)),
        );
        list(&mut page, "Figures of live traffic", self.kpis.iter().map(|kpi| format!("`{kpi}`")));
        list(&mut page, "Rules", self.rules.iter().cloned());
        list(&mut page, "Inspirations", self.inspirations.iter().map(Idea::line));
        fenced(&mut page, "Budgets", &self.budgets);
        fenced(&mut page, "Contract", &self.contract);
        page
    }

    fn conversations_in(&self, page: &mut String) {
        for conversation in &self.conversations {
            let turns = conversation.turns.iter().map(|turn| format!("`{turn}`"));
            list(page, &format!("Conversation {}", conversation.id), turns);
        }
    }

    fn failing_in(&self, page: &mut String) {
        let cases = self.failing.iter().map(|case| {
            format!(
                "{} ({}, score {:.2}): {}\n  `{}`",
                case.id, case.place, case.score, case.why, case.case
            )
        });
        let more =
            (self.failing_not_shown > 0).then(|| format!("and {} more", self.failing_not_shown));
        list(page, "Cases that fail now", cases.chain(more));
    }
}

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}

/// A section with a list; omitted when empty.
fn list(page: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = writeln!(page, "## {title}\n");
    for line in lines {
        let _ = writeln!(page, "- {line}");
    }
    page.push('\n');
}

fn fenced(page: &mut String, title: &str, value: &Value) {
    if !value.is_null() {
        let text = serde_json::to_string_pretty(value).expect("a JSON value serialises");
        let _ = writeln!(page, "## {title}\n\n```json\n{text}\n```\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_inspiration_states_its_limits_and_its_source() {
        let idea = Idea {
            id: "retry".to_owned(),
            title: "Try again".to_owned(),
            about: "\nCalls again.\n".to_owned(),
            not_for: "Side effects.\n".to_owned(),
            source: "Brooker, 2015".to_owned(),
        };
        assert_eq!(
            idea.line(),
            "Try again (retry): Calls again. Not for: Side effects. Source: Brooker, 2015"
        );
    }

    #[test]
    fn brief_orders_sections_and_omits_empty_ones() {
        let brief = Brief {
            schema: SCHEMA,
            run: "r-1".to_owned(),
            attempt: 2,
            attempts: 3,
            time_limit_s: 600,
            version: Some("v0.1.1".to_owned()),
            feedback: vec![
                Feedback::new(
                    "plurals\nare ignored",
                    Some("c1"),
                    "person",
                    "2026-11-22T12:00:00.000Z",
                )
                .unwrap(),
            ],
            conversations: Vec::new(),
            failing: vec![FailingCase {
                id: "q-1".to_owned(),
                tier: Tier::Micro,
                place: "tests/micro/q.jsonl:3".to_owned(),
                case: json!({"id": "q-1"}),
                score: 0.25,
                why: "not found".to_owned(),
            }],
            failing_not_shown: 4,
            kpis: Vec::new(),
            contract: json!({"runner": {}}),
            budgets: Value::Null,
            inspirations: Vec::new(),
            rejected: vec![Rejected {
                run: "r-1".to_owned(),
                attempt: 1,
                why: "changed nothing".to_owned(),
            }],
            rules: vec!["do not touch `state/active.state.json`".to_owned()],
        };
        let page = brief.to_markdown();
        let places: Vec<_> = [
            "attempt 2 of 3",
            "> plurals\n> are ignored",
            "- q-1 (tests/micro/q.jsonl:3, score 0.25): not found",
            "- and 4 more",
            "changed nothing",
            "```json",
        ]
        .iter()
        .map(|part| page.find(part).unwrap_or_else(|| panic!("{part:?} is not in\n{page}")))
        .collect();
        assert!(places.is_sorted(), "{page}");
        assert!(
            !page.contains("Conversation")
                && !page.contains("Budgets")
                && !page.contains("Inspirations"),
            "{page}"
        );
    }
}
