//! Unanswered feedback becomes a failing case, which a maintainer completes.

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::versions::evaluators;
use crate::world::git::{CommitSpec, TreeEdit};
use agent_core::architect::brief::Brief;
use agent_core::architect::feedback::Feedback;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::trailers::Trailers;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const FILE: &str = "tests/fast/feedback.jsonl";
/// The placeholder expectation until a maintainer has set the right one.
const PLACEHOLDER: &str = "a person says here what would answer: ";

/// A commit on top of active with a failing case for each item; `None` where no tool accepts the
/// text.
pub fn commit(
    items: &[Feedback],
    brief: &Brief,
    active: &Target,
    repository: &Repository,
) -> Result<Option<ObjectId>, Failure> {
    let cases: Vec<_> = items.iter().filter_map(|item| case(item, brief)).collect();
    if cases.is_empty() {
        return Ok(None);
    }
    let base = active.commit.clone().expect("active is a commit");
    let mut text = repository
        .git
        .read(&base, FILE)?
        .map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.extend(cases.iter().map(|case| format!("{case}\n")));
    let blob = repository.git.write_blob(text.as_bytes())?;
    let tree = repository.git.edit_tree(Some(&base), &[TreeEdit::file(FILE, blob)])?;
    let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
    let body = "Set the right answer in `expect`, and make the case pass.";
    let message = Trailers { feedback: ids.clone(), ..Trailers::default() }
        .message(&format!("test: {} as a failing case", ids.join(", ")), body);
    Ok(Some(repository.git.write_commit(&CommitSpec { tree, parents: vec![base], message })?))
}

/// The call the feedback is about, with a placeholder expectation that always fails: a maintainer
/// sets the right one.
fn case(item: &Feedback, brief: &Brief) -> Option<Value> {
    let (tool, arguments) = call_of_conversation(item, brief)
        .or_else(|| call_of_contract(&item.text, &brief.contract))?;
    let expect = format!("{PLACEHOLDER}{}", item.text);
    Some(json!({"id": format!("feedback-{}", item.id), "tool": tool, "arguments": arguments,
            "expect": {"equals": expect}, "tags": ["feedback"]}))
}

/// The cases of a tree that are still as they were made, by id and file.
pub fn unfinished(
    tree: &ObjectId,
    repository: &Repository,
) -> Result<BTreeSet<(String, String)>, Failure> {
    let files = evaluators::case_files(&repository.git, tree)?;
    let cases = files.iter().flat_map(|(_, path, text)| text.lines().map(move |line| (path, line)));
    Ok(cases.filter_map(|(path, line)| Some((placeholder(line)?, path.clone()))).collect())
}

fn placeholder(line: &str) -> Option<String> {
    let case: Value = serde_json::from_str(line).ok()?;
    case["expect"]["equals"]
        .as_str()?
        .starts_with(PLACEHOLDER)
        .then(|| case["id"].as_str().unwrap_or_default().to_owned())
}

fn call_of_conversation(item: &Feedback, brief: &Brief) -> Option<(String, Value)> {
    let id = item.conversation.as_ref()?;
    let last =
        brief.conversations.iter().find(|conversation| conversation.id == *id)?.turns.last()?;
    Some((last["tool"].as_str()?.to_owned(), last["arguments"].clone()))
}

/// A call of the first tool that accepts a single text, with the feedback as that text.
fn call_of_contract(text: &str, contract: &Value) -> Option<(String, Value)> {
    let tools = contract["runner"]["tools"].as_object()?;
    tools.iter().find_map(|(name, tool)| {
        let schema = &tool["inputSchema"];
        let [required] = schema["required"].as_array()?.as_slice() else { return None };
        let required = required.as_str()?;
        (schema["properties"][required]["type"] == "string")
            .then(|| (name.clone(), json!({required: text})))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_case_defaults_to_the_first_tool_with_a_text_argument() {
        let schema = |required: &[&str], kind: &str| {
            json!({"inputSchema": {"required": required,
            "properties": {"q": {"type": kind}}}})
        };
        let contract = json!({"runner": {"tools": {
            "a": schema(&["q", "r"], "string"), "b": schema(&["q"], "integer"), "c": schema(&["q"],
                "string"),
        }}});
        assert_eq!(
            call_of_contract("typos", &contract),
            Some(("c".to_owned(), json!({"q": "typos"})))
        );
        assert_eq!(call_of_contract("typos", &json!({"runner": {"tools": {}}})), None);
    }
}
