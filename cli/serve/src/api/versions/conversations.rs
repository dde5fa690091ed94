//! Recorded conversations: their calls, results and rewards.

use super::parameters::PAGE;
use super::reader::Reader;
use crate::rest::{Call, Kind, Problem, Reply, Route};
use agent_engine::conversations::{self, Conversation, Turn};
use serde_json::{Value, json};

const CONVERSATION: Kind =
    Kind::Text { pattern: r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", longest: 128 };
const USUAL: usize = 50;

pub(super) fn routes() -> Vec<Route<Reader>> {
    vec![
        Route::get(
            "/v1/conversations",
            "listConversations",
            "The conversations, by their latest turn, newest first, a page at a time.",
            list,
        )
        .query("limit", PAGE, "The maximum number of conversations [default: 50].")
        .query(
            "after",
            CONVERSATION,
            "Only conversations after this one: the `next` of the previous page.",
        )
        .answers(200, "Conversations", "A page.")
        .problems(&[404]),
        Route::get(
            "/v1/conversations/{conversation}",
            "showConversation",
            "One conversation: its turns, its version, its rewards.",
            show,
        )
        .part("conversation", CONVERSATION, "The id of a conversation.")
        .answers(200, "Conversation", "The conversation.")
        .problems(&[404]),
    ]
}

fn list(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let limit = call.query("limit")?.unwrap_or(USUAL);
    let after: Option<String> = call.query("after")?;
    let layout = &reader.repository.layout;
    let ids = conversations::ids(layout)?;
    let begin = match after {
        Some(after) => 1 + ids.iter().position(|id| *id == after).ok_or_else(|| unknown(&after))?,
        None => 0,
    };
    let rest = &ids[begin..];
    let page = &rest[..limit.min(rest.len())];
    let next = page.last().filter(|_| rest.len() > limit);
    // a conversation that cannot be read is listed with its problem
    let item_of = |id: &String| match conversations::load(layout, id) {
        Ok(Some(conversation)) => Some(summary(&conversation)),
        Ok(None) => None,
        Err(error) => Some(json!({"id": id, "problem": error.to_string()})),
    };
    let reply = Reply::json(&json!({
        "schema": "agent/conversations@1",
            "conversations": page.iter().filter_map(item_of).collect::<Vec<_>>(), "next": next,
    }));
    Ok(call.with_next(reply, next))
}

fn summary(conversation: &Conversation) -> Value {
    let header = &conversation.header;
    json!({
        "id": header.id, "version": header.version, "revision": header.revision,
            "opened": header.opened,
        "turns": conversation.turns.len(),
            "errors": conversation.turns.iter().filter(|turn| turn.is_error).count(),
        "last": conversation.turns.last().map(|turn| &turn.at),
    })
}

fn show(reader: &mut Reader, call: &Call<'_>) -> Result<Reply, Problem> {
    let id: String = call.path("conversation")?;
    let conversation = conversations::load(&reader.repository.layout, &id)?;
    let conversation = conversation.ok_or_else(|| unknown(&id))?;
    let mut document = summary(&conversation);
    document["schema"] = json!("agent/conversation-log@1");
    document["commit"] = json!(conversation.header.commit);
    document["turns"] = conversation.turns.iter().map(shown).collect();
    document["rewards"] = json!(conversations::rewards(&reader.repository.layout, &id)?);
    Ok(Reply::json(&document))
}

/// A turn without the Runner's private data.
fn shown(turn: &Turn) -> Value {
    let mut turn = json!(turn);
    if let Some(turn) = turn.as_object_mut() {
        turn.shift_remove("data");
    }
    turn
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no conversation `{id}`"))
}
