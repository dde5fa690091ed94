//! Conversions of object ids from and to gix, and the path of a loose object.

use agent_core::formats::object_id::ObjectId;
use std::path::{Path, PathBuf};

/// The path of an object below the folder of objects.
pub(super) fn loose_path(id: &gix::ObjectId) -> PathBuf {
    let hex = id.to_string();
    Path::new(&hex[..2]).join(&hex[2..])
}

pub(super) fn to_gix(id: &ObjectId) -> gix::ObjectId {
    gix::ObjectId::from_hex(id.as_str().as_bytes()).expect("an ObjectId is 40 hex digits")
}

pub(super) fn from_gix(id: gix::ObjectId) -> ObjectId {
    ObjectId::parse(&id.to_string()).expect("gix gives 40 hex digits")
}
