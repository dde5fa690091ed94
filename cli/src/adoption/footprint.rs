//! A record of the files that an adoption has written, so that a failed or killed adoption can be
//! undone.

use crate::scaffold;
use agent_engine::templates::NewFile;
use agent_engine::world::fs::{self, Durability, FsError};
use agent_engine::world::layout::Layout;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "agent/adoption@1";
/// Kept in a file during the adoption: the next one undoes what a killed one left.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: String,
    /// Whether `.agent` existed before.
    had_home: bool,
    /// Files that were written, with their former content where they existed.
    written: Vec<(PathBuf, Option<String>)>,
}

#[derive(Debug)]
pub struct Footprint {
    folder: PathBuf,
    layout: Layout,
    record: Record,
}

impl Footprint {
    pub fn begin(folder: &Path) -> Result<Self, FsError> {
        let layout = Layout::new(folder);
        if let Some(bytes) = fs::read_if_there(&layout.adoption())?
            && let Ok(record) = serde_json::from_slice::<Record>(&bytes)
        {
            Self { folder: folder.to_owned(), layout: layout.clone(), record }.undo()?;
        }
        let record = Record {
            schema: SCHEMA.to_owned(),
            had_home: layout.home().exists(),
            written: Vec::new(),
        };
        let footprint = Self { folder: folder.to_owned(), layout, record };
        footprint.layout.make_home()?;
        footprint.note()?;
        Ok(footprint)
    }

    /// Writes a file, and records its former content first.
    pub fn write(&mut self, file: &NewFile) -> Result<(), FsError> {
        if !self.record.written.iter().any(|(path, _)| *path == file.path) {
            let before = fs::read_if_there(&self.folder.join(&file.path))?;
            self.record.written.push((
                file.path.clone(),
                before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            ));
            self.note()?;
        }
        scaffold::write(&self.folder, file)
    }

    pub fn paths(&self) -> Vec<String> {
        self.record.written.iter().map(|(path, _)| path.display().to_string()).collect()
    }

    /// Removes the record: the adoption is complete.
    pub fn keep(self) -> Result<(), FsError> {
        fs::remove_if_there(&self.layout.adoption())
    }

    /// Restores the repository.
    pub fn undo(self) -> Result<(), FsError> {
        for (path, before) in self.record.written.iter().rev() {
            let place = self.folder.join(path);
            if let Some(text) = before {
                fs::write(&place, text.as_bytes())?;
            } else {
                fs::remove_if_there(&place)?;
                self.prune(path);
            }
        }
        if self.record.had_home {
            fs::remove_if_there(&self.layout.adoption())
        } else {
            fs::remove_stubborn_folder(&self.layout.home())
        }
    }

    /// Removes folders that became empty.
    fn prune(&self, path: &Path) {
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            if std::fs::remove_dir(self.folder.join(parent)).is_err() {
                return;
            }
        }
    }

    fn note(&self) -> Result<(), FsError> {
        let bytes = serde_json::to_vec(&self.record).expect("a record serialises");
        fs::replace(&self.layout.adoption(), &bytes, Durability::Rebuildable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::names(folder).unwrap()
    }

    #[test]
    fn a_failed_or_killed_adoption_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".gitignore"), "*.log\n").unwrap();
        std::fs::create_dir(folder.path().join("tests")).unwrap();
        std::fs::write(folder.path().join("tests/mine.py"), "").unwrap();
        let begin = || {
            let mut footprint = Footprint::begin(folder.path()).unwrap();
            for path in [".gitignore", "tests/micro/cases.jsonl", "state/schema.json"] {
                footprint.write(&NewFile::new(path, "new")).unwrap();
            }
            footprint
        };
        begin().undo().unwrap();
        let as_it_was = || {
            assert_eq!(names(folder.path()), [".gitignore", "tests"]);
            assert_eq!(names(&folder.path().join("tests")), ["mine.py"]);
            assert_eq!(
                std::fs::read_to_string(folder.path().join(".gitignore")).unwrap(),
                "*.log\n"
            );
        };
        as_it_was();
        // a killed adoption
        drop(begin());
        assert_eq!(
            std::fs::read_to_string(folder.path().join(".agent/.gitignore")).unwrap(),
            "*\n"
        );
        Footprint::begin(folder.path()).unwrap().undo().unwrap();
        as_it_was();
        begin().keep().unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("state/schema.json")).unwrap(),
            "new"
        );
        assert!(!folder.path().join(".agent/adoption.json").exists());
    }
}
