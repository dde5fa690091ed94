//! The scratch folder of a worker: emptied and filled for each case that checks files, and judged
//! after it.

use crate::world::child_folder::{ChildFolder, Found};
use crate::world::fs::FsError;
use agent_core::testing::attempt::Answered;
use agent_core::testing::expectation::Check;
use agent_core::testing::judgement::Judgement;
use agent_core::testing::scratch::{FileCheck, Files, InitialFile};
use std::path::{Path, PathBuf};

/// The longest file that is read; a longer one fails its check.
const FILE_LIMIT: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Scratch {
    folder: ChildFolder,
}

impl Scratch {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder: ChildFolder::new(folder) }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Nothing but what the case is given.
    pub(super) fn prepare(&self, files: &Files) -> Result<(), FsError> {
        self.folder.clear()?;
        for (name, given) in &files.given {
            let bytes = match given {
                InitialFile::Text(text) => text.as_bytes(),
                InitialFile::Copy { bytes, .. } => bytes,
            };
            self.folder.put(name, bytes)?;
        }
        Ok(())
    }

    /// A judgement for each file that something is expected of, and what the golden files among
    /// them should hold.
    pub(super) fn judge(&self, files: &Files) -> (Vec<Judgement>, Vec<Answered>) {
        let mut goldens = Vec::new();
        let judge = |(name, check): &(String, FileCheck)| {
            let bytes = match self.folder.find(name, FILE_LIMIT) {
                Found::Nothing => None,
                Found::Bytes(bytes) => Some(bytes),
                Found::Special(what) => return Judgement::failed(format!("file {name}: {what}")),
            };
            if let (FileCheck::Content(Check::Golden(golden)), Some(bytes)) = (check, &bytes) {
                goldens.push(Answered { path: golden.path.clone(), bytes: bytes.clone() });
            }
            check.judge(name, bytes.as_deref())
        };
        (files.expect.iter().map(judge).collect(), goldens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn files(value: Value) -> Files {
        Files::parse(value, "c.jsonl:1").unwrap()
    }

    #[test]
    fn scratch_folder_holds_the_given_files() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("0");
        std::fs::create_dir(&folder).unwrap();
        let scratch = Scratch::new(folder);
        scratch.prepare(&files(json!({"given": {"a/in.txt": "one", "b": "two"}}))).unwrap();
        assert_eq!(std::fs::read_to_string(scratch.folder().join("a/in.txt")).unwrap(), "one");
        std::fs::write(parent.path().join("beside"), "mine").unwrap();
        std::os::unix::fs::symlink(parent.path(), scratch.folder().join("out")).unwrap();
        let why = |expect: Value| {
            scratch.judge(&files(json!({"expect": expect}))).0[0].why.clone().unwrap_or_default()
        };
        assert_eq!(why(json!({"b": {"equals": "two"}})), "");
        assert_eq!(
            why(json!({"out/beside": {"equals": "mine"}})),
            "file out/beside: it is a symbolic link, or is reached through one"
        );
        assert_eq!(why(json!({"a": {"equals": "one"}})), "file a: it is not a file");
        assert_eq!(why(json!({"c/d": {"absent": true}})), "");
        // the next case finds nothing of this one, and what a link led to stays
        scratch.prepare(&files(json!({"expect": {"b": {"absent": true}}}))).unwrap();
        assert_eq!(std::fs::read_dir(scratch.folder()).unwrap().count(), 0);
        assert_eq!(std::fs::read_to_string(parent.path().join("beside")).unwrap(), "mine");
    }
}
