//! Persisted formats: documents, the canonical form, the manifest, numbers, ids, and the errors of
//! reading them.

pub mod canonical;
pub mod committed;
pub mod count;
pub mod diagnose;
pub mod document;
pub mod first_version;
pub mod json_edit;
pub mod json_text;
pub mod manifest;
pub mod natural;
pub mod number;
pub mod object_id;
pub mod off_policy_gate;
pub mod python_version;
pub mod record;
pub mod schema;
pub mod suggestion;
pub mod text_difference;
pub mod yaml;
