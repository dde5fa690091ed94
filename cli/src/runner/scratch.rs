//! The scratch folder of a shard: emptied and filled for each case that looks at files, and judged after it.

use crate::runner::attempt::Answered;
use crate::world::fs::{self, FsError};
use agent_core::expectation::{Check, Judgement};
use agent_core::scratch::{FileCheck, Files, Given};
use std::path::{Path, PathBuf};

/// A file longer than this is no answer but a flood.
const FILE_LIMIT: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
}

/// What a file turned out to be.
enum Found {
    Nothing,
    Bytes(Vec<u8>),
    /// Something that is not looked into.
    Odd(String),
}

impl Scratch {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Nothing but what the case is given.
    pub(super) fn prepare(&self, files: &Files) -> Result<(), FsError> {
        fs::remove_folder(&self.folder)?;
        fs::create_dir(&self.folder)?;
        for (name, given) in &files.given {
            let bytes = match given {
                Given::Text(text) => text.as_bytes(),
                Given::Copy { bytes, .. } => bytes,
            };
            fs::write(&self.folder.join(name), bytes)?;
        }
        Ok(())
    }

    /// A judgement for each file that something is expected of, and what the golden files among them should hold.
    pub(super) fn judge(&self, files: &Files) -> (Vec<Judgement>, Vec<Answered>) {
        let mut goldens = Vec::new();
        let judge = |(name, check): &(String, FileCheck)| {
            let bytes = match self.find(name) {
                Found::Nothing => None,
                Found::Bytes(bytes) => Some(bytes),
                Found::Odd(what) => return Judgement::failed(format!("file {name}: {what}")),
            };
            if let (FileCheck::Content(Check::Golden(golden)), Some(bytes)) = (check, &bytes) {
                goldens.push(Answered { path: golden.path.clone(), bytes: bytes.clone() });
            }
            check.judge(name, bytes.as_deref())
        };
        (files.expect.iter().map(judge).collect(), goldens)
    }

    /// A link is not followed: what lies elsewhere is no effect on this folder.
    fn find(&self, name: &str) -> Found {
        let mut path = self.folder.clone();
        for part in Path::new(name) {
            path.push(part);
            match path.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => return Found::Odd("it is a symbolic link, or lies behind one".to_owned()),
                Ok(metadata) if metadata.is_file() && metadata.len() > FILE_LIMIT => {
                    return Found::Odd(format!("it has more than {} MiB", FILE_LIMIT >> 20));
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::Nothing,
                Err(error) => return Found::Odd(format!("it cannot be looked at: {error}")),
            }
        }
        if !path.is_file() {
            return Found::Odd("it is no file".to_owned());
        }
        std::fs::read(&path).map_or_else(|error| Found::Odd(format!("it cannot be read: {error}")), Found::Bytes)
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
    fn a_folder_holds_what_its_case_is_given() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(parent.path().join("0"));
        scratch.prepare(&files(json!({"given": {"a/in.txt": "one", "b": "two"}}))).unwrap();
        assert_eq!(std::fs::read_to_string(scratch.folder().join("a/in.txt")).unwrap(), "one");
        std::fs::write(parent.path().join("beside"), "mine").unwrap();
        std::os::unix::fs::symlink(parent.path(), scratch.folder().join("out")).unwrap();
        let why = |expect: Value| scratch.judge(&files(json!({"expect": expect}))).0[0].why.clone().unwrap_or_default();
        assert_eq!(why(json!({"b": {"equals": "two"}})), "");
        assert_eq!(why(json!({"out/beside": {"equals": "mine"}})), "file out/beside: it is a symbolic link, or lies behind one");
        assert_eq!(why(json!({"a": {"equals": "one"}})), "file a: it is no file");
        assert_eq!(why(json!({"c/d": {"absent": true}})), "");
        // the next case finds nothing of this one, and what a link led to stays
        scratch.prepare(&files(json!({"expect": {"b": {"absent": true}}}))).unwrap();
        assert_eq!(std::fs::read_dir(scratch.folder()).unwrap().count(), 0);
        assert_eq!(std::fs::read_to_string(parent.path().join("beside")).unwrap(), "mine");
    }
}
