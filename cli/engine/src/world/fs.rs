//! Files, written atomically.

use agent_core::formats::committed::Warnings;
use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::digest_of_reader;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FsError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl FsError {
    /// For `map_err`: what was tried, on which path.
    pub fn while_doing(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }

    pub fn io_kind(&self) -> std::io::ErrorKind {
        self.source.kind()
    }

    /// Whether this place cannot be written for now: it is read-only, another user's, or full.
    pub fn is_refused(&self) -> bool {
        use std::io::ErrorKind::{
            PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        matches!(
            self.io_kind(),
            PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
        )
    }

    /// A copy of the error.
    #[must_use]
    pub fn again(&self) -> Self {
        let source = self
            .source
            .raw_os_error()
            .map_or_else(|| self.io_kind().into(), std::io::Error::from_raw_os_error);
        Self { action: self.action, path: self.path.clone(), source }
    }
}

/// Why nothing can be made in a folder, or in the one that it would be made in; `None` where
/// something can be. Where a file is in its place, `None` too: whatever uses the folder then fails
/// with the reason.
pub fn refusal(folder: &Path) -> Option<FsError> {
    let there = folder.ancestors().find(|folder| folder.exists()).filter(|there| there.is_dir())?;
    may_write(there)
        .and_then(|()| has_room(there))
        .err()
        .map(|error| FsError::while_doing("write to", folder)(error.into()))
}

/// Like `refusal`, for folders by their names below a writable one; missing ones are omitted. The
/// free space of a file system is read once.
pub fn refusals_below(writable: &Path, names: &[&'static str]) -> Vec<(&'static str, FsError)> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(above) = writable.metadata() else { return Vec::new() };
    let refusal = |name: &&'static str| {
        let folder = writable.join(name);
        let found = folder.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        let room = || if found.dev() == above.dev() { Ok(()) } else { has_room(&folder) };
        let error = may_write(&folder).and_then(|()| room()).err()?;
        Some((*name, FsError::while_doing("write to", &folder)(error.into())))
    };
    names.iter().filter_map(refusal).collect()
}

fn may_write(folder: &Path) -> rustix::io::Result<()> {
    use rustix::fs::{Access, access};
    access(folder, Access::WRITE_OK | Access::EXEC_OK)
}

fn has_room(folder: &Path) -> rustix::io::Result<()> {
    let Ok(room) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let blocks = if rustix::process::geteuid().is_root() { room.f_bfree } else { room.f_bavail };
    // some file systems count nothing
    let is_full = (room.f_blocks > 0 && blocks == 0) || (room.f_files > 0 && room.f_ffree == 0);
    if is_full { Err(rustix::io::Errno::NOSPC) } else { Ok(()) }
}

impl Diagnose for FsError {
    fn kind(&self) -> FailureKind {
        FailureKind::Surroundings
    }

    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            std::io::ErrorKind::StorageFull => {
                Some("the disk is full: free some room and run it again".to_owned())
            }
            std::io::ErrorKind::PermissionDenied => Some("check who owns it".to_owned()),
            std::io::ErrorKind::ReadOnlyFilesystem => {
                Some("it is on a file system that is mounted read-only".to_owned())
            }
            _ => None,
        }
    }
}

/// The bytes of a file, `None` when there is none.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(FsError::while_doing("read", path)(error)),
    }
}

/// The bytes of a regular file that others may have put there: no link is followed, and nothing
/// that is no file is waited for.
pub fn read_regular(path: &Path) -> Result<Vec<u8>, FsError> {
    read_at_most(path, u64::MAX)
}

/// The first bytes of such a file.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    use std::io::Read as _;
    let read = || {
        let mut bytes = Vec::new();
        open_regular(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(FsError::while_doing("read", path))
}

/// The digest of such a file, which is not held in memory.
pub fn digest_of_regular(path: &Path) -> Result<String, FsError> {
    let digest = || digest_of_reader(open_regular(path)?);
    digest().map_err(FsError::while_doing("read", path))
}

fn open_regular(path: &Path) -> std::io::Result<std::fs::File> {
    use rustix::fs::{Mode, OFlags, open};
    use std::io::{Error, ErrorKind};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// The target of a symbolic link, unresolved.
pub fn link_target(path: &Path) -> Result<PathBuf, FsError> {
    std::fs::read_link(path).map_err(FsError::while_doing("read the link", path))
}

/// The chunk size when only the ends of a file are needed.
const END: u64 = 64 << 10;

/// The first line of a file of lines, and the last complete one where that differs; `None` without
/// a complete line.
pub fn first_and_last_line(
    file: &std::fs::File,
) -> std::io::Result<Option<(String, Option<String>)>> {
    use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
    let mut reader = BufReader::new(file);
    reader.rewind()?;
    let mut first = String::new();
    reader.read_line(&mut first)?;
    if !first.ends_with('\n') {
        return Ok(None);
    }
    let (begin, end) = (first.len() as u64, reader.seek(SeekFrom::End(0))?);
    let (mut from, mut tail) = (end, Vec::new());
    loop {
        // without what a killed writer left behind the last newline
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map(|last| &tail[..last]);
        let start = whole.and_then(|whole| whole.iter().rposition(|byte| *byte == b'\n'));
        if let (Some(whole), Some(start)) =
            (whole, start.map(|at| at + 1).or((from == begin).then_some(0)))
        {
            return Ok(Some((first, Some(String::from_utf8_lossy(&whole[start..]).into_owned()))));
        }
        if from == begin {
            return Ok(Some((first, None)));
        }
        let chunk = END.min(from - begin);
        from -= chunk;
        reader.seek(SeekFrom::Start(from))?;
        let mut more = vec![0; usize::try_from(chunk).expect("a chunk is small")];
        reader.read_exact(&mut more)?;
        more.append(&mut tail);
        tail = more;
    }
}

/// Appends complete lines to a file of lines that the caller has locked, replacing a torn last
/// line. All of them are written, or none.
pub fn append_lines(file: &std::fs::File, lines: &str) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let end = end_of_lines(file)?;
    file.set_len(end)?;
    file.write_all_at(lines.as_bytes(), end).inspect_err(|_| {
        // a line without its newline is torn: it is truncated
        let _ = file.set_len(end);
    })
}

/// The offset after the last complete line of a file of lines.
fn end_of_lines(file: &std::fs::File) -> std::io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0; usize::try_from(END.min(end)).expect("a chunk is small")];
    while end > 0 {
        let from = end.saturating_sub(END);
        let read = &mut chunk[..usize::try_from(end - from).expect("a chunk is small")];
        file.read_exact_at(read, from)?;
        if let Some(last) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + last as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// Whether a file of lines ends with a whole one; false when there is no file, or nothing in it.
pub fn is_whole_lines(path: &Path) -> Result<bool, FsError> {
    let look = || -> std::io::Result<bool> {
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        Ok(length > 0 && end_of_lines(&file)? == length)
    };
    match look() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        looked => looked.map_err(FsError::while_doing("read", path)),
    }
}

pub fn create_dir(path: &Path) -> Result<(), FsError> {
    std::fs::create_dir_all(path).map_err(FsError::while_doing("create the folder", path))
}

/// Whether a write must survive a power cut before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced, and its folder too.
    Durable,
    /// A view or a cache: rebuilt when it is missing.
    Rebuildable,
}

/// The name prefix of temporary files that will replace others.
pub const UNDER_WAY: &str = ".agent-";

/// Puts a file in place by a rename: a reader sees the old bytes or the new ones, never a part.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), FsError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_dir(folder)?;
    let mut builder = tempfile::Builder::new();
    // as any file that is created: the umask takes from it what it takes
    builder.prefix(UNDER_WAY).permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file =
        builder.tempfile_in(folder).map_err(FsError::while_doing("create a file in", folder))?;
    file.write_all(bytes).map_err(FsError::while_doing("write", path))?;
    if durability == Durability::Durable {
        file.as_file().sync_data().map_err(FsError::while_doing("sync", path))?;
    }
    file.persist(path).map_err(|error| FsError::while_doing("put in place", path)(error.error))?;
    match durability {
        Durability::Durable => sync_dir(folder),
        Durability::Rebuildable => Ok(()),
    }
}

/// As `replace`, durably, but with a fixed temporary name: the caller holds a lock, and a kill
/// leaves at most one file.
///
/// The rename is the commit point: a folder that cannot be synced after it is a warning.
pub fn replace_through(under_way: &Path, path: &Path, bytes: &[u8]) -> Result<Warnings, FsError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_dir(folder)?;
    let mut file =
        std::fs::File::create(under_way).map_err(FsError::while_doing("create", under_way))?;
    file.write_all(bytes).map_err(FsError::while_doing("write", under_way))?;
    file.sync_data().map_err(FsError::while_doing("sync", under_way))?;
    rename(under_way, path)?;
    let mut warnings = Warnings::none();
    warnings.note(
        sync_dir(folder),
        &format!("a power cut may bring back what {} held before", path.display()),
    );
    Ok(warnings)
}

/// Replaces a view, which can be rebuilt: by a rename from `under_way`, or from its own folder
/// where that is on another file system.
pub fn replace_view(under_way: &Path, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    create_dir(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(under_way, bytes).map_err(FsError::while_doing("write", under_way))?;
    match rename(under_way, path) {
        Err(error) if error.io_kind() == std::io::ErrorKind::CrossesDevices => {
            remove_if_there(under_way)?;
            // a fixed name again, so that kills leave one file at most
            let mut beside = std::ffi::OsString::from(".");
            beside.push(path.file_name().unwrap_or_default());
            let beside = path.with_file_name(beside);
            std::fs::write(&beside, bytes).map_err(FsError::while_doing("write", &beside))?;
            rename(&beside, path)
        }
        renamed => renamed,
    }
}

/// Writes a file of the user's, with the mode of their umask; missing folders are created.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    create_dir(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(path, bytes).map_err(FsError::while_doing("write", path))
}

/// Adds to the end of a file, which is made where there is none.
pub fn append(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), FsError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_dir(folder)?;
    let is_new = !path.exists();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(FsError::while_doing("open", path))?;
    file.write_all(bytes).map_err(FsError::while_doing("write", path))?;
    if durability == Durability::Durable {
        file.sync_data().map_err(FsError::while_doing("sync", path))?;
        if is_new {
            sync_dir(folder)?;
        }
    }
    Ok(())
}

/// A file of the user's for streaming output; truncated first.
pub fn create_file(path: &Path) -> Result<std::fs::File, FsError> {
    create_dir(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::File::create(path).map_err(FsError::while_doing("create", path))
}

/// Replaces the content of a file of the user's atomically, keeping its mode; for a link, the
/// target is replaced.
///
/// The previous content is saved beside it under its name and `kept_as`; returns that path. When
/// the file no longer matches `before`, nothing is done and `None` is returned.
pub fn rewrite(
    path: &Path,
    before: Option<&[u8]>,
    bytes: &[u8],
    kept_as: &str,
) -> Result<Option<PathBuf>, FsError> {
    let mut kept = followed(path)?.into_os_string();
    kept.push(kept_as);
    let kept = PathBuf::from(kept);
    let keep = |like: Option<&std::fs::Metadata>| {
        let Some(before) = before else { return Ok(()) };
        let saved = beside(&kept, before, like)?.persist(&kept);
        saved.map(drop).map_err(|error| FsError::while_doing("put in place", &kept)(error.error))
    };
    Ok(rewrite_after(path, before, bytes, keep)?.then_some(kept))
}

/// Like `rewrite`, without saving the previous content; returns whether it was done.
pub fn rewrite_unsaved(path: &Path, before: Option<&[u8]>, bytes: &[u8]) -> Result<bool, FsError> {
    rewrite_after(path, before, bytes, |_| Ok(()))
}

fn rewrite_after(
    path: &Path,
    before: Option<&[u8]>,
    bytes: &[u8],
    keep: impl FnOnce(Option<&std::fs::Metadata>) -> Result<(), FsError>,
) -> Result<bool, FsError> {
    let file = followed(path)?;
    let like = file.metadata().ok();
    create_dir(file.parent().unwrap_or(Path::new(".")))?;
    let new = beside(&file, bytes, like.as_ref())?;
    if read_if_there(&file)?.as_deref() != before {
        return Ok(false);
    }
    keep(like.as_ref())?;
    new.persist(&file).map_err(|error| FsError::while_doing("put in place", &file)(error.error))?;
    sync_dir(file.parent().unwrap_or(Path::new(".")))?;
    Ok(true)
}

/// A synced file that is to be put in the place of another, with the mode and the owner of that
/// one.
pub(super) fn beside(
    path: &Path,
    bytes: &[u8],
    like: Option<&std::fs::Metadata>,
) -> Result<tempfile::NamedTempFile, FsError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNDER_WAY).permissions(std::os::unix::fs::PermissionsExt::from_mode(
        if like.is_some() { 0o600 } else { 0o666 },
    ));
    let mut file =
        builder.tempfile_in(folder).map_err(FsError::while_doing("create a file in", folder))?;
    file.write_all(bytes).map_err(FsError::while_doing("write", path))?;
    if let Some(like) = like {
        own_as(file.as_file(), like).map_err(FsError::while_doing("set the owner of", path))?;
        file.as_file()
            .set_permissions(like.permissions())
            .map_err(FsError::while_doing("set the mode of", path))?;
    }
    file.as_file().sync_data().map_err(FsError::while_doing("sync", path))?;
    Ok(file)
}

fn own_as(file: &std::fs::File, like: &std::fs::Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    let (owner, group) =
        (rustix::fs::Uid::from_raw(like.uid()), rustix::fs::Gid::from_raw(like.gid()));
    Ok(rustix::fs::fchown(file, Some(owner), Some(group))?)
}

/// Where a path leads, links followed; the last one may lead to where nothing is yet.
pub(super) fn followed(path: &Path) -> Result<PathBuf, FsError> {
    const MOST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let Ok(to) = std::fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new(".")).join(to);
    }
    Err(FsError::while_doing("follow the links of", &path)(rustix::io::Errno::LOOP.into()))
}

/// Puts a program in place.
pub fn replace_program(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    replace(path, bytes, Durability::Rebuildable)?;
    set_mode(path, 0o755)
}

pub fn set_mode(path: &Path, mode: u32) -> Result<(), FsError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(FsError::while_doing("set the mode of", path))
}

/// Whether there is a file that can be run.
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// A unique path in a folder, with an empty file.
pub fn unused_path(folder: &Path) -> Result<PathBuf, FsError> {
    create_dir(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)
        .map_err(FsError::while_doing("create a file in", folder))?;
    let (_, path) = file
        .keep()
        .map_err(|error| FsError::while_doing("create a file in", folder)(error.error))?;
    Ok(path)
}

pub fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    std::fs::rename(from, to).map_err(FsError::while_doing("put in place", to))
}

/// Puts each of two in the place of the other; at no moment is nothing there.
pub fn exchange(one: &Path, other: &Path) -> Result<(), FsError> {
    use rustix::fs::{CWD, RenameFlags};
    match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        // an older file system: the path is briefly missing
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            let mut aside = one.to_owned().into_os_string();
            aside.push(".aside");
            rename(other, Path::new(&aside))?;
            rename(one, other)?;
            rename(Path::new(&aside), one)
        }
        exchanged => {
            exchanged.map_err(|error| FsError::while_doing("replace", other)(error.into()))
        }
    }
}

/// Notes that a file is in use, by its time. Where that cannot be noted it counts as unused a
/// little earlier.
pub fn mark_used(path: &Path) {
    let _ = std::fs::File::open(path)
        .and_then(|file| file.set_modified(crate::world::clock::now().into()));
}

/// The stamp by which a file is known to be unchanged: a writer cannot set all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    mode: u32,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            inode: metadata.ino(),
            mode: metadata.mode(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The stamps of the files at or below a path, which need not exist; links are not followed.
pub fn stamp_below(
    path: &Path,
    leaves_out: &dyn Fn(&Path) -> bool,
    into: &mut BTreeMap<PathBuf, Stamp>,
) -> Result<(), FsError> {
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        // entries removed meanwhile are omitted
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if !metadata.is_dir() {
            into.insert(path, Stamp::of(&metadata));
            continue;
        }
        let names = names(&path)?;
        paths
            .extend(names.into_iter().map(|name| path.join(name)).filter(|path| !leaves_out(path)));
    }
    Ok(())
}

/// Moves a file, link or folder, also to another file system; false when there is none.
/// A link is not followed.
pub fn move_aside(from: &Path, to: &Path) -> Result<bool, FsError> {
    let Ok(metadata) = from.symlink_metadata() else { return Ok(false) };
    if std::fs::rename(from, to).is_ok() {
        return Ok(true);
    }
    if metadata.is_file() {
        write(to, &read_regular(from)?)?;
    }
    if metadata.is_dir() {
        remove_stubborn_folder(from)?;
    } else {
        remove_if_there(from)?;
    }
    Ok(metadata.is_file())
}

/// Makes a symbolic link, replacing an existing one.
pub fn link(to: &Path, at: &Path) -> Result<(), FsError> {
    create_dir(at.parent().unwrap_or(Path::new(".")))?;
    remove_if_there(at)?;
    std::os::unix::fs::symlink(to, at).map_err(FsError::while_doing("make the link", at))
}

/// Removes a file; nothing happens when there is none.
pub fn remove_if_there(path: &Path) -> Result<(), FsError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FsError::while_doing("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; nothing happens when there is none.
pub fn remove_folder(path: &Path) -> Result<(), FsError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FsError::while_doing("remove the folder", path)(error))
        }
        _ => Ok(()),
    }
}

/// Like `remove_folder`, for a folder that other programs wrote in: read-only and immutable entries
/// are removed as well.
pub fn remove_stubborn_folder(path: &Path) -> Result<(), FsError> {
    if remove_folder(path).is_err() {
        soften(path);
    }
    remove_folder(path)
}

/// Makes everything below a folder removable, as far as this user may.
fn soften(path: &Path) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if metadata.is_symlink() {
        return;
    }
    make_mutable(path);
    if metadata.is_dir() {
        let _ = set_mode(path, 0o700);
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            soften(&entry.path());
        }
    }
}

#[cfg(target_os = "linux")]
fn make_mutable(path: &Path) {
    use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, open};
    let file = open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    );
    if let Ok(file) = file
        && let Ok(flags) = ioctl_getflags(&file)
        && flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND)
    {
        let _ = ioctl_setflags(&file, flags - (IFlags::IMMUTABLE | IFlags::APPEND));
    }
}

#[cfg(not(target_os = "linux"))]
fn make_mutable(_path: &Path) {}

/// The names in a folder, sorted; empty when there is no such folder.
pub fn names(folder: &Path) -> Result<Vec<String>, FsError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FsError::while_doing("list", folder)(error)),
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(FsError::while_doing("list", folder))?;
    names.sort();
    Ok(names)
}

pub fn sync_dir(folder: &Path) -> Result<(), FsError> {
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FsError::while_doing("sync the folder", folder))
}

/// A file system, as far as one sync makes durable what was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem(u64);

impl FileSystem {
    /// Of a path, or of the folder that it will be made in.
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        path.ancestors().find_map(|path| path.metadata().ok()).map(|metadata| Self(metadata.dev()))
    }
}

/// A lock on a file, released when it is dropped, and by the kernel when the process exits.
#[derive(Debug)]
pub struct FileLock {
    file: std::fs::File,
    /// Why the file can be locked and not written.
    read_only: Option<FsError>,
}

impl FileLock {
    /// Waits for the lock.
    pub fn acquire(path: &Path) -> Result<Self, FsError> {
        let lock = Self::open(path)?;
        lock.file.lock().map_err(FsError::while_doing("lock", path))?;
        Ok(lock)
    }

    /// Tries to take it, shared or exclusive.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, FsError> {
        let lock = Self::open(path)?;
        match lock.file.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => {
                Err(FsError::while_doing("lock", path)(error))
            }
        }
    }

    /// Takes it together with others who share it.
    pub fn share(path: &Path) -> Result<Self, FsError> {
        let lock = Self::open(path)?;
        lock.file.lock_shared().map_err(FsError::while_doing("lock", path))?;
        Ok(lock)
    }

    /// The locked file: a process that inherits it holds the lock as well.
    pub const fn file(&self) -> &std::fs::File {
        &self.file
    }

    /// The locked file, to be written.
    pub fn to_write(&self) -> Result<&std::fs::File, FsError> {
        match &self.read_only {
            Some(error) => Err(error.again()),
            None => Ok(&self.file),
        }
    }

    /// The kernel locks a file that can only be read as well.
    fn open(path: &Path) -> Result<Self, FsError> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let opened = match (options.open(path), path.parent()) {
            (Err(error), Some(folder)) if error.kind() == std::io::ErrorKind::NotFound => {
                create_dir(folder)?;
                options.open(path)
            }
            (opened, _) => opened,
        };
        let error = match opened {
            Ok(file) => return Ok(Self { file, read_only: None }),
            Err(error) => FsError::while_doing("open the lock", path)(error),
        };
        match std::fs::File::open(path).ok().filter(|_| error.is_refused()) {
            Some(file) => Ok(Self { file, read_only: Some(error) }),
            None => Err(error),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // closing the file releases it as well, but not while a child that is just being started
        // shares it
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_of_a_line_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let long = "x".repeat(200_000);
        let ends = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            let end = usize::try_from(end_of_lines(&file).unwrap()).unwrap();
            assert_eq!(end, text.rfind('\n').map_or(0, |at| at + 1), "{}", text.len());
            first_and_last_line(&file)
                .unwrap()
                .map(|(first, last)| (first.trim_end().to_owned(), last))
        };
        for (text, expected) in [
            ("", None),
            ("torn", None),
            ("a\n", Some(("a", None))),
            ("a\ntorn", Some(("a", None))),
            ("a\nb\n", Some(("a", Some("b")))),
            ("a\nb\nc\ntorn", Some(("a", Some("c")))),
            (&format!("a\nb\n{long}\n"), Some(("a", Some(long.as_str())))),
            (&format!("{long}\nb\n{long}"), Some((long.as_str(), Some("b")))),
        ] {
            let expected = expected.map(|(first, last): (&str, Option<&str>)| {
                (first.to_owned(), last.map(str::to_owned))
            });
            assert_eq!(ends(text), expected, "{}", text.len());
        }
    }
}
