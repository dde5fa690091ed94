//! The entries of a folder with their stamps. The change time cannot be set by user programs, so an
//! entry with an equal stamp is unchanged.

use crate::world::limits;
use std::fs::Metadata;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// From this number of folders on, several threads are used.
const FOLDERS_TO_SHARE: usize = 16;
const THREADS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// A file or folder as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// From the root of what was scanned, which itself has the empty path.
    pub path: PathBuf,
    pub kind: Kind,
    pub marks: Marks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    device: u64,
    inode: u64,
    mode: u32,
    pub size: u64,
    modified: (i64, i64),
    pub changed: (i64, i64),
}

impl Found {
    fn new(path: PathBuf, metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let is_special =
            kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device();
        let kind = match () {
            () if kind.is_dir() => Kind::Folder,
            () if kind.is_symlink() => Kind::Link,
            () if is_special => Kind::Special,
            () => Kind::File,
        };
        Self { path, kind, marks: Marks::of(metadata) }
    }

    pub fn is_program(&self) -> bool {
        self.marks.mode & 0o111 != 0
    }

    /// On the same file system: nothing is mounted there.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.marks.device == other.marks.device
    }
}

impl Marks {
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// All entries of a folder, including itself, by path. Entries that vanish meanwhile, or are
/// unreadable, are omitted.
pub(super) fn scan(root: &Path) -> Vec<Found> {
    let Ok(metadata) = root.symlink_metadata() else { return Vec::new() };
    let top = Found::new(PathBuf::new(), &metadata);
    let mut folders = if top.kind == Kind::Folder { vec![PathBuf::new()] } else { Vec::new() };
    let mut found = vec![top];
    while !folders.is_empty() && folders.len() < FOLDERS_TO_SHARE {
        for folder in std::mem::take(&mut folders) {
            list(root, &folder, &mut found, &mut folders);
        }
    }
    for more in shared(&folders, |folders| below(root, folders)) {
        found.extend(more);
    }
    found.sort_unstable_by(|one, other| one.path.as_os_str().cmp(other.path.as_os_str()));
    found
}

/// Splits work among a few threads; the results are in the order of the work.
pub(super) fn shared<T: Sync, R: Send>(work: &[T], run: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let threads = limits::cores().min(THREADS);
    if work.is_empty() {
        return Vec::new();
    }
    if threads == 1 {
        return vec![run(work)];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = work
            .chunks(work.len().div_ceil(threads))
            .map(|part| scope.spawn(|| run(part)))
            .collect();
        running.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    })
}

fn below(root: &Path, folders: &[PathBuf]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        list(root, &folder, &mut found, &mut folders);
    }
    found
}

fn list(root: &Path, folder: &Path, found: &mut Vec<Found>, folders: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let one = Found::new(folder.join(entry.file_name()), &metadata);
        if one.kind == Kind::Folder {
            folders.push(one.path.clone());
        }
        found.push(one);
    }
}

/// All paths and marks as bytes, to take a digest of.
pub(super) fn summary(found: &[Found]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(found.len() * 128);
    for Found { path, marks, .. } in found {
        let Marks { device, inode, mode, size, modified, changed } = marks;
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        write!(bytes, "\0{device} {inode} {mode} {size} {modified:?} {changed:?}\0")
            .expect("memory takes all");
    }
    bytes
}

/// The first path at which two scans differ.
pub(super) fn first_difference<'a>(before: &'a [Found], after: &'a [Found]) -> Option<&'a Path> {
    let differs = before.iter().zip(after).find(|(one, other)| one != other);
    let at = differs.map(
        |(one, other)| if one.path.as_os_str() <= other.path.as_os_str() { one } else { other },
    );
    let longer = if before.len() > after.len() { before } else { after };
    at.or_else(|| longer.get(before.len().min(after.len()))).map(|found| found.path.as_path())
}
