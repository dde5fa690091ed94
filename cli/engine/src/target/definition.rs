//! A target: code and a state to run together.

use crate::target::evaluators::{Evaluators, Source};
use crate::world::checkout::Checkout;
use crate::world::state_file::StateFile;
use agent_core::formats::manifest::Manifest;
use agent_core::formats::object_id::ObjectId;
use agent_core::version::what::What;
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The state's JSON Schema, in every tree that has one.
pub const STATE_SCHEMA_FILE: &str = "state/schema.json";

/// A state, by Revision, as bytes a child can open.
#[derive(Debug, Clone)]
pub struct State {
    pub revision: ObjectId,
    pub file: StateFile,
    pub value: Value,
    in_meta: OnceLock<Box<RawValue>>,
}

impl State {
    pub fn new(revision: ObjectId, file: StateFile, value: Value) -> Self {
        Self { revision, file, value, in_meta: OnceLock::new() }
    }

    /// As a Runner gets it with each call, which is the same text each time.
    pub fn in_meta(&self) -> &RawValue {
        #[derive(Serialize)]
        struct Given<'a> {
            revision: &'a ObjectId,
            path: &'a Path,
        }
        let given = || to_raw_value(&Given { revision: &self.revision, path: self.file.path() });
        self.in_meta.get_or_init(|| given().expect("a path of ours is text"))
    }
}

/// Code and state to run together.
#[derive(Debug, Clone)]
pub struct Target {
    pub what: What,
    /// The commit the code comes from; `None` for the working tree.
    pub commit: Option<ObjectId>,
    /// The tree, as it would be committed; `None` for the folder of the working tree.
    pub tree: Option<ObjectId>,
    /// The tree without `state/`, `tests/` and `ci/`: what the checkout is keyed by.
    pub code: Option<ObjectId>,
    /// The version, when the commit is one and the state is its own.
    pub version: Option<Version>,
    pub directory: PathBuf,
    /// What `directory` is, unless it is the working tree.
    pub checkout: Option<Checkout>,
    pub state: State,
    pub manifest: Manifest,
}

impl Target {
    /// The display name: the version, else the commit, else the name that was typed.
    pub fn shown(&self) -> String {
        match (&self.version, &self.commit, &self.what) {
            (Some(version), _, _) => format!("v{version}"),
            (None, _, What::Staging) => "staging".to_owned(),
            (None, Some(commit), _) => commit.short().to_owned(),
            (None, None, what) => what.to_string(),
        }
    }

    /// Its own evaluators, where no other commit judges it.
    pub fn own_evaluators(&self) -> Evaluators {
        let objects = self.tree.as_ref().or(self.commit.as_ref()).cloned();
        let source =
            objects.map_or_else(|| Source::Folder(self.directory.clone()), Source::Objects);
        Evaluators { source, manifest: self.manifest.clone() }
    }
}
