//! A record of the files that an adoption, or a template that is applied, has written, so that one
//! that failed, was killed or is not wanted can be undone.

use crate::scaffold;
use agent_core::formats::object_id::digest;
use agent_engine::templates::NewFile;
use agent_engine::world::fs::{self, Durability, FsError};
use agent_engine::world::layout::Layout;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "agent/adoption@1";
/// Kept in a file meanwhile: the next one undoes what a killed one left.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: String,
    /// Whether `.agent` existed before.
    had_home: bool,
    /// Files that were written, with their former content where they existed.
    written: Vec<(PathBuf, Option<String>)>,
    /// The digests of what was written.
    #[serde(default)]
    contents: BTreeMap<PathBuf, String>,
    /// What wrote it: the name of a template.
    #[serde(default)]
    origin: Option<String>,
}

#[derive(Debug)]
pub struct Footprint {
    folder: PathBuf,
    layout: Layout,
    /// The file of the record.
    place: PathBuf,
    record: Record,
}

impl Footprint {
    /// `place` is the file of the record, which is removed or moved at the end; `origin` names what
    /// is written.
    pub fn begin(folder: &Path, place: PathBuf, origin: Option<&str>) -> Result<Self, FsError> {
        let layout = Layout::new(folder);
        if let Some(killed) = Self::read(folder, &place)? {
            killed.undo()?;
        }
        let record = Record {
            schema: SCHEMA.to_owned(),
            had_home: layout.home().exists(),
            written: Vec::new(),
            contents: BTreeMap::new(),
            origin: origin.map(str::to_owned),
        };
        let footprint = Self { folder: folder.to_owned(), layout, place, record };
        footprint.layout.make_home()?;
        footprint.note()?;
        Ok(footprint)
    }

    /// What an earlier process recorded in a file; `None` without such a record.
    pub fn read(folder: &Path, place: &Path) -> Result<Option<Self>, FsError> {
        let bytes = fs::read_if_there(place)?;
        let record = bytes.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        Ok(record.map(|record| Self {
            folder: folder.to_owned(),
            layout: Layout::new(folder),
            place: place.to_owned(),
            record,
        }))
    }

    /// Writes a file, and records its former content first.
    pub fn write(&mut self, file: &NewFile) -> Result<(), FsError> {
        if !self.record.written.iter().any(|(path, _)| *path == file.path) {
            let before = fs::read_if_there(&self.folder.join(&file.path))?;
            self.record.written.push((
                file.path.clone(),
                before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            ));
        }
        self.record.contents.insert(file.path.clone(), digest(&file.bytes));
        self.note()?;
        scaffold::write(&self.folder, file)
    }

    pub fn origin(&self) -> &str {
        self.record.origin.as_deref().unwrap_or_default()
    }

    /// Whether a file is as it was written.
    pub fn is_unchanged(&self, path: &str) -> Result<bool, FsError> {
        let now = fs::read_if_there(&self.folder.join(path))?.map(|bytes| digest(&bytes));
        Ok(now.as_ref() == self.record.contents.get(Path::new(path)))
    }

    pub fn paths(&self) -> Vec<String> {
        self.record.written.iter().map(|(path, _)| path.display().to_string()).collect()
    }

    /// Removes the record: all is written and stays.
    pub fn keep(self) -> Result<(), FsError> {
        fs::remove_if_there(&self.place)
    }

    /// Moves the record: all is written, and can be undone from there.
    pub fn keep_as(self, place: &Path) -> Result<(), FsError> {
        if let Some(parent) = place.parent() {
            fs::create_dir(parent)?;
        }
        fs::rename(&self.place, place)
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
            fs::remove_if_there(&self.place)
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
        fs::replace(&self.place, &bytes, Durability::Rebuildable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::names(folder).unwrap()
    }

    fn begun(folder: &Path) -> Footprint {
        Footprint::begin(folder, Layout::new(folder).adoption(), None).unwrap()
    }

    #[test]
    fn a_failed_or_killed_adoption_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".gitignore"), "*.log\n").unwrap();
        std::fs::create_dir(folder.path().join("tests")).unwrap();
        std::fs::write(folder.path().join("tests/mine.py"), "").unwrap();
        let begin = || {
            let mut footprint = begun(folder.path());
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
        begun(folder.path()).undo().unwrap();
        as_it_was();
        begin().keep().unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("state/schema.json")).unwrap(),
            "new"
        );
        assert!(!folder.path().join(".agent/adoption.json").exists());
    }
}
