//! Conversations as resources: `session://{conversation_id}`.

pub const SCHEME: &str = "session://";
pub const UPDATED: &str = "notifications/resources/updated";

pub fn uri(conversation: &str) -> String {
    format!("{SCHEME}{conversation}")
}
