//! The writable layer over a repository that cannot be written, as in an overlay file system: what
//! it lacks is made in a temporary folder of this process, and what it has is read where it is.
//!
//! One process has one such folder for a repository, whichever of its parts cannot be written.
//! Nothing in it may be acknowledged: refs do not move and staging takes no update while their own
//! place cannot be written.

use crate::world::fs::{self, FsError};
use crate::world::temporary::{Temporary, WRITABLE_LAYER};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The folders of this process, by the folder they cover.
static FOLDERS: Mutex<BTreeMap<PathBuf, Arc<Folder>>> = Mutex::new(BTreeMap::new());

/// A folder that is created on first use, and removed with the process.
#[derive(Debug, Default)]
struct Folder {
    made: OnceLock<PathBuf>,
}

impl Folder {
    fn over(root: &Path) -> Arc<Self> {
        let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(folders.entry(root.to_owned()).or_default())
    }

    /// Where none can be made, each write fails with the reason.
    fn path(&self) -> &Path {
        self.made.get_or_init(|| {
            Temporary::outside(WRITABLE_LAYER)
                .map_or_else(|_| std::env::temp_dir(), Temporary::kept_to_the_end)
        })
    }
}

#[derive(Debug, Clone)]
pub struct WritableLayer {
    /// What cannot be written, wholly or in parts.
    lower: PathBuf,
    /// The parts, by name; all of it where there are none.
    parts: Arc<[&'static str]>,
    refusal: Arc<FsError>,
    upper: Arc<Folder>,
}

impl WritableLayer {
    /// A layer for a folder of a repository, if it or one of its existing parts is not writable:
    /// each a path below it.
    pub fn needed(root: &Path, lower: &Path, parts: &[&'static str]) -> Option<Self> {
        let over = |parts: Vec<&'static str>, refusal| {
            Some(Self {
                lower: lower.to_owned(),
                parts: parts.into(),
                refusal: Arc::new(refusal),
                upper: Folder::over(root),
            })
        };
        if let Some(refusal) = fs::refusal(lower) {
            return over(Vec::new(), refusal);
        }
        // a part that is missing is made in the place itself
        let refused = fs::refusals_below(lower, parts);
        let first = refused.first()?.1.again();
        over(refused.into_iter().map(|(part, _)| part).collect(), first)
    }

    /// Why the place itself cannot be written.
    pub fn refusal(&self) -> &FsError {
        &self.refusal
    }

    pub fn into_refusal(self) -> Arc<FsError> {
        self.refusal
    }

    /// Whether all of it cannot be written, and not only parts of it.
    pub fn is_whole(&self) -> bool {
        self.parts.is_empty()
    }

    /// Where the file or folder at a path of the place below is: there, unless it is missing and
    /// cannot be made there.
    pub fn find(&self, path: PathBuf) -> PathBuf {
        match self.above(&path) {
            Some(above) if above.exists() || !path.exists() => above,
            _ => path,
        }
    }

    /// The writable path: in this layer, with the existing content.
    pub fn to_write(&self, path: PathBuf) -> Result<PathBuf, FsError> {
        let Some(above) = self.above(&path) else { return Ok(path) };
        if !above.exists()
            && let Some(bytes) = fs::read_if_there(&path)?
        {
            fs::write(&above, &bytes)?;
        }
        Ok(above)
    }

    /// Where something new is made; `None` where that is the place itself.
    pub fn above(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.lower).ok()?;
        let is_over =
            self.parts.is_empty() || self.parts.iter().any(|part| below.starts_with(part));
        is_over
            .then(|| self.upper.path().join(self.lower.file_name().unwrap_or_default()).join(below))
    }

    /// The covered path of a path in the layer.
    pub fn below(&self, path: &Path) -> Option<PathBuf> {
        let upper = self.upper.made.get()?.join(self.lower.file_name().unwrap_or_default());
        path.strip_prefix(upper).ok().map(|below| self.lower.join(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_reads_lower_and_writes_upper() {
        let root = tempfile::tempdir().unwrap();
        let lower = root.path().join("home");
        std::fs::create_dir_all(lower.join("a")).unwrap();
        std::fs::write(lower.join("a/there"), "old").unwrap();
        assert!(WritableLayer::needed(root.path(), &lower, &["a", "b"]).is_none());
        let refusal =
            FsError::while_doing("write to", &lower)(std::io::ErrorKind::ReadOnlyFilesystem.into());
        let layer = WritableLayer {
            lower: lower.clone(),
            parts: Arc::new(["a"]),
            refusal: Arc::new(refusal),
            upper: Folder::over(root.path()),
        };
        assert_eq!(layer.find(lower.join("a/there")), lower.join("a/there"));
        assert_eq!(layer.find(lower.join("b/missing")), lower.join("b/missing"));
        let missing = layer.find(lower.join("a/missing"));
        assert!(!missing.starts_with(root.path()));
        assert_eq!(layer.below(&missing), Some(lower.join("a/missing")));
        let above = layer.to_write(lower.join("a/there")).unwrap();
        std::fs::write(&above, "new").unwrap();
        assert_eq!(layer.find(lower.join("a/there")), above);
        assert_eq!(std::fs::read_to_string(lower.join("a/there")).unwrap(), "old");
        assert!(layer.refusal().is_refused());
    }
}
