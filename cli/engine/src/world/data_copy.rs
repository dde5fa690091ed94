//! A copy of the Runner's own files, for a shadow child, whose answers are dropped: what it writes
//! changes nothing of what is served.

use super::fs::{self, FsError};
use super::layout::Layout;
use super::temporary::Temporary;
use std::path::Path;

/// More than this is not copied: the copy is made when a child starts.
const MOST: u64 = 64 << 20;

/// The folder of a copy; it is removed with this value.
#[derive(Debug)]
pub struct DataCopy {
    folder: Temporary,
    /// There was more than is copied, so the folder is empty.
    pub is_empty_instead: bool,
}

impl DataCopy {
    pub fn of(layout: &Layout) -> Result<Self, FsError> {
        let folder = layout.temporary_folder("shadow-data")?;
        let place = folder.path().join("data");
        fs::create_dir(&place)?;
        let mut left = MOST;
        let whole = copy_below(&layout.data(), &place, &layout.left_behind(), &mut left)?;
        if !whole {
            fs::remove_stubborn_folder(&place)?;
            fs::create_dir(&place)?;
        }
        Ok(Self { folder, is_empty_instead: !whole })
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }
}

/// Copies regular files, and links to them as files: a link would lead back to what is served.
/// `false` where there is more than `left`.
fn copy_below(from: &Path, to: &Path, except: &Path, left: &mut u64) -> Result<bool, FsError> {
    for name in fs::names(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        // removed meanwhile, or a dangling link
        let (Ok(own), Ok(metadata)) = (source.symlink_metadata(), source.metadata()) else {
            continue;
        };
        if source == except {
            continue;
        }
        if own.is_dir() {
            fs::create_dir(&target)?;
            if !copy_below(&source, &target, except, left)? {
                return Ok(false);
            }
        } else if metadata.is_file() {
            let Some(rest) = left.checked_sub(metadata.len()) else { return Ok(false) };
            *left = rest;
            match std::fs::copy(&source, &target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FsError::while_doing("copy", &source)(error));
                }
                _ => {}
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn copy_is_independent_of_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let data = layout.data();
        std::fs::create_dir_all(data.join("deep")).unwrap();
        std::fs::create_dir_all(layout.left_behind()).unwrap();
        std::fs::write(data.join("deep/notes.db"), "one").unwrap();
        std::fs::write(layout.left_behind().join("old"), "old").unwrap();
        symlink(data.join("deep/notes.db"), data.join("link")).unwrap();
        symlink(data.join("deep"), data.join("folder")).unwrap();
        symlink("nowhere", data.join("broken")).unwrap();
        let copy = DataCopy::of(&layout).unwrap();
        assert_eq!(fs::names(&copy.path()).unwrap(), ["deep", "link"]);
        std::fs::write(copy.path().join("link"), "two").unwrap();
        std::fs::write(copy.path().join("deep/notes.db"), "two").unwrap();
        assert_eq!(std::fs::read_to_string(data.join("deep/notes.db")).unwrap(), "one");
        let place = copy.path();
        drop(copy);
        assert!(!place.exists());
        // more than is copied
        let large = std::fs::File::create(data.join("large")).unwrap();
        large.set_len(MOST + 1).unwrap();
        let copy = DataCopy::of(&layout).unwrap();
        assert!(copy.is_empty_instead && fs::names(&copy.path()).unwrap().is_empty());
    }
}
