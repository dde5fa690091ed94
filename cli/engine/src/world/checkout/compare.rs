//! Compares the content of a folder with its tree: every file is read.

use super::scan::{Found, Kind, shared};
use crate::world::git::{Listed, Mode};
use agent_core::formats::object_id::{ObjectId, digest};
use rustix::fs::{Mode as Permissions, OFlags};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// So much is read before a thread that helps would have started.
const FEW_FILES: usize = 128;
const FEW_BYTES: u64 = 1 << 20;

/// The first path at which a checkout is not what it should be, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: PathBuf,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Added,
    Missing,
    Content,
    Kind,
    Mode,
    /// Something is mounted there.
    Mounted,
    /// It was written, replaced or touched while it was in use, whatever it holds now.
    Touched,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Added => "was added",
            How::Missing => "is missing",
            How::Content => "has other content",
            How::Kind => "is another kind of file",
            How::Mode => "has another mode",
            How::Mounted => "is a mount point",
            How::Touched => "was changed",
        };
        if self.path.as_os_str().is_empty() {
            return write!(formatter, "the folder itself {how}");
        }
        write!(formatter, "`{}` {how}", self.path.display())
    }
}

/// The expected entry at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    path: PathBuf,
    want: ExpectedEntry,
}

impl Expected {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ExpectedEntry {
    Folder,
    File { id: ObjectId, is_program: bool },
    Link { id: ObjectId },
    Compiled { digest: String },
}

/// What the file system of a clone keeps of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeps {
    pub programs: bool,
    pub links: bool,
}

/// The expected entries in the checkout of a tree, by path.
pub(super) fn wanted(listed: &[Listed], compiled: &BTreeMap<String, String>) -> Vec<Expected> {
    let mut wanted = vec![Expected { path: PathBuf::new(), want: ExpectedEntry::Folder }];
    wanted.extend(listed.iter().map(|Listed { path, mode, id }| {
        let want = match mode {
            Mode::File | Mode::Executable => {
                ExpectedEntry::File { id: id.clone(), is_program: *mode == Mode::Executable }
            }
            Mode::Link => ExpectedEntry::Link { id: id.clone() },
            Mode::Folder | Mode::Submodule => ExpectedEntry::Folder,
        };
        Expected { path: path.clone(), want }
    }));
    wanted.extend(compiled.iter().map(|(path, digest)| Expected {
        path: path.into(),
        want: ExpectedEntry::Compiled { digest: digest.clone() },
    }));
    let mut parents: Vec<&Path> = wanted.iter().filter_map(|wanted| wanted.path.parent()).collect();
    parents.dedup();
    let folders: Vec<_> =
        parents.iter().flat_map(|parent| parent.ancestors()).map(Path::to_owned).collect();
    wanted.extend(folders.into_iter().map(|path| Expected { path, want: ExpectedEntry::Folder }));
    wanted.sort_unstable_by(|one, other| one.path.as_os_str().cmp(other.path.as_os_str()));
    wanted.dedup();
    wanted
}

/// The differences of a folder from the expected entries.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// In anything but the content of the tree's files.
    pub first: Option<Difference>,
    /// Files of the tree with other bytes than their blobs: changed, or converted by git when it
    /// wrote them.
    pub contents: Vec<PathBuf>,
}

impl Comparison {
    /// The first difference, where nothing was converted.
    pub fn difference(self) -> Option<Difference> {
        let content =
            self.contents.into_iter().next().map(|path| Difference { path, how: How::Content });
        [self.first, content]
            .into_iter()
            .flatten()
            .min_by(|one, other| one.path.as_os_str().cmp(other.path.as_os_str()))
    }
}

pub(super) fn compare(
    root: &Path,
    found: &[Found],
    wanted: &[Expected],
    keeps: Keeps,
) -> Comparison {
    let mut pairs = Vec::with_capacity(wanted.len());
    let mut first = None;
    let (mut at, mut of) = (0, 0);
    while first.is_none() && (at < found.len() || of < wanted.len()) {
        let order = match (found.get(at), wanted.get(of)) {
            (Some(found), Some(wanted)) => found.path.as_os_str().cmp(wanted.path.as_os_str()),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        first = match order {
            Ordering::Less => Some(Difference { path: found[at].path.clone(), how: How::Added }),
            Ordering::Greater => {
                Some(Difference { path: wanted[of].path.clone(), how: How::Missing })
            }
            Ordering::Equal => unlike(&found[at], &wanted[of].want, &found[0], keeps),
        };
        if order == Ordering::Equal && first.is_none() {
            pairs.push((&found[at], &wanted[of].want));
        }
        at += usize::from(order != Ordering::Greater);
        of += usize::from(order != Ordering::Less);
    }
    let others = |pairs: &[(&Found, &ExpectedEntry)]| {
        let others = pairs
            .iter()
            .filter(|(found, want)| !holds(&root.join(&found.path), found.marks.size, want));
        others
            .map(|(found, want)| {
                (found.path.clone(), matches!(want, ExpectedEntry::Compiled { .. }))
            })
            .collect::<Vec<_>>()
    };
    let bytes: u64 = pairs.iter().map(|(found, _)| found.marks.size).sum();
    let is_quick = pairs.len() < FEW_FILES && bytes < FEW_BYTES;
    let others = if is_quick { vec![others(&pairs)] } else { shared(&pairs, others) };
    let (compiled, contents): (Vec<_>, Vec<_>) =
        others.into_iter().flatten().partition(|(_, is_compiled)| *is_compiled);
    let compiled =
        compiled.into_iter().next().map(|(path, _)| Difference { path, how: How::Content });
    Comparison {
        first: compiled.or(first),
        contents: contents.into_iter().map(|(path, _)| path).collect(),
    }
}

/// How a file's metadata differs from the expected; `top` is the root folder of the checkout.
fn unlike(found: &Found, want: &ExpectedEntry, top: &Found, keeps: Keeps) -> Option<Difference> {
    let kind = match want {
        ExpectedEntry::Folder => Kind::Folder,
        // a file that holds where it leads
        ExpectedEntry::Link { .. } if !keeps.links => Kind::File,
        ExpectedEntry::Link { .. } => Kind::Link,
        ExpectedEntry::File { .. } | ExpectedEntry::Compiled { .. } => Kind::File,
    };
    let how = match want {
        _ if found.kind != kind => How::Kind,
        _ if !found.is_beside(top) => How::Mounted,
        ExpectedEntry::File { is_program, .. }
            if keeps.programs && found.is_program() != *is_program =>
        {
            How::Mode
        }
        _ => return None,
    };
    Some(Difference { path: found.path.clone(), how })
}

fn holds(path: &Path, size: u64, want: &ExpectedEntry) -> bool {
    match want {
        ExpectedEntry::Folder => true,
        ExpectedEntry::File { id, .. } => {
            read(path, size).is_ok_and(|bytes| ObjectId::of_blob(&bytes) == *id)
        }
        ExpectedEntry::Link { id } => target(path)
            .or_else(|_| read(path, size))
            .is_ok_and(|bytes| ObjectId::of_blob(&bytes) == *id),
        ExpectedEntry::Compiled { digest: wanted } => {
            read(path, size).is_ok_and(|bytes| digest(&bytes) == *wanted)
        }
    }
}

fn target(link: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read_link(link).map(|target| OsStr::as_bytes(target.as_os_str()).to_vec())
}

/// The bytes of a file that was so large a moment ago. A link in its place is not followed, a pipe
/// not waited for, and nothing is read without end.
pub(super) fn read(path: &Path, size: u64) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Permissions::empty())?);
    // a byte more than there is shows the end without another read
    let mut bytes =
        Vec::with_capacity(usize::try_from(size.min(FEW_BYTES) + 1).unwrap_or_default());
    file.take(size + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
