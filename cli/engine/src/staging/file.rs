//! The Journal as a file: reserved space ahead of its end, so that a durable append changes no
//! metadata.
//!
//! Overwriting space that is already on disk lets fdatasync write the data alone; growing the file
//! makes it commit the file system's journal too (measured on ext4: 2 to 3 times slower).

use super::error::StagingError;
use crate::world::fs::FsError;
use agent_core::state::journal;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How much is reserved at a time; what is reserved is written, not only allocated.
const RESERVE: u64 = 256 << 10;
/// The filler of reserved space: a reader of JSON lines skips empty ones.
const FILLER: u8 = b'\n';

/// How much is read at first of what others appended.
const NEWS_CHUNK: usize = 8 << 10;

/// The last bytes of what was read: a checksum is among them.
const END_BYTES: usize = 32;

/// How far the Journal was read, and the content at that point.
#[derive(Debug)]
pub(super) struct End {
    at: u64,
    last: Vec<u8>,
}

impl End {
    /// `read` are bytes of the Journal up to `at`.
    pub(super) fn of(read: &[u8], at: u64) -> Self {
        Self { at, last: read[read.len().saturating_sub(END_BYTES)..].to_vec() }
    }
}

/// Why a group is not committed.
#[derive(Debug)]
pub(super) enum NotCommitted {
    /// It is not in the Journal.
    TakenOff(FsError),
    /// It may be in the Journal.
    InDoubt(FsError),
}

impl From<NotCommitted> for StagingError {
    fn from(error: NotCommitted) -> Self {
        match error {
            NotCommitted::TakenOff(error) => Self::Fs(error),
            NotCommitted::InDoubt(error) => Self::InDoubt(error),
        }
    }
}

const fn is_filler(byte: u8) -> bool {
    matches!(byte, FILLER | 0)
}

#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: File,
    inode: u64,
}

impl JournalFile {
    /// Opens it and reads all of it.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<u8>), FsError> {
        let opened = Self::reopen(path)?;
        let bytes = opened.read_from(0)?;
        Ok((opened, bytes))
    }

    /// Opens one whose content is known.
    pub(super) fn reopen(path: &Path) -> Result<Self, FsError> {
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .open(path)
            .map_err(FsError::while_doing("open", path))?;
        let metadata = file.metadata().map_err(FsError::while_doing("read", path))?;
        Ok(Self { path: path.to_owned(), file, inode: metadata.ino() })
    }

    /// Whether another file has been put in this one's place.
    pub(super) fn was_replaced(&self) -> Result<bool, FsError> {
        let metadata =
            std::fs::metadata(&self.path).map_err(FsError::while_doing("read", &self.path))?;
        Ok(metadata.ino() != self.inode)
    }

    /// Whether the Journal is still the one that was read: a group whose sync failed is truncated
    /// after other processes may have read it.
    pub(super) fn still_ends(&self, end: &End) -> Result<bool, FsError> {
        let mut found = vec![0; end.last.len()];
        match self.file.read_exact_at(&mut found, end.at - end.last.len() as u64) {
            Ok(()) => Ok(found == end.last),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(FsError::while_doing("read", &self.path)(error)),
        }
    }

    /// The content from `end` up to the reserved space after it; empty when that begins at `end`.
    pub(super) fn read_news(&self, end: u64) -> Result<Vec<u8>, FsError> {
        let mut news = Vec::new();
        loop {
            let begun = news.len();
            // the reserve is many times as long as the updates since the last look
            news.resize((begun * 2).max(NEWS_CHUNK), 0);
            let read = self
                .file
                .read_at(&mut news[begun..], end + begun as u64)
                .map_err(FsError::while_doing("read", &self.path))?;
            news.truncate(begun + read);
            if news.first().is_none_or(|first| is_filler(*first)) {
                return Ok(Vec::new());
            }
            // no group holds an empty line
            let reserve = news[begun.saturating_sub(1)..]
                .windows(2)
                .position(|pair| pair.iter().all(|byte| is_filler(*byte)));
            if let Some(at) = reserve {
                // the last line's newline is indistinguishable from the reserve
                news.truncate(begun.saturating_sub(1) + at + 1);
                return Ok(news);
            }
            if read == 0 {
                return Ok(news);
            }
        }
    }

    /// All content from `end` on, including content behind a reserved part; empty when the reserve
    /// begins at `end`.
    pub(super) fn read_rest(&self, end: u64) -> Result<Vec<u8>, FsError> {
        let mut first = [FILLER];
        let read =
            self.file.read_at(&mut first, end).map_err(FsError::while_doing("read", &self.path))?;
        if read == 0 || is_filler(first[0]) {
            return Ok(Vec::new());
        }
        let mut bytes = self.read_from(end)?;
        let used = bytes.iter().rposition(|byte| !is_filler(*byte)).map_or(0, |last| last + 1);
        // the last line's newline is indistinguishable from the reserve
        bytes.truncate(used + 1);
        Ok(bytes)
    }

    pub(super) fn read_from(&self, offset: u64) -> Result<Vec<u8>, FsError> {
        let length = self.file.metadata().map_err(FsError::while_doing("read", &self.path))?.len();
        let mut bytes =
            vec![0; usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.file.read_at(&mut bytes[filled..], offset + filled as u64);
            match read.map_err(FsError::while_doing("read", &self.path))? {
                // another process truncated the file meanwhile
                0 => break,
                more => filled += more,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes a group at `end`; it is durable after the next sync. When it fails, the group is
    /// truncated, or the error reports that it could not be. The lock is held.
    pub(super) fn write(&self, end: u64, group: &[u8]) -> Result<(), NotCommitted> {
        self.reserve(end + group.len() as u64)
            .and_then(|()| self.file.write_all_at(group, end))
            .map_err(|error| {
                let error = FsError::while_doing("append to", &self.path)(error);
                self.truncate_tail(end, group.len(), error)
            })
    }

    /// When this returns, all that was written before is durable, by any process.
    pub(super) fn sync(&self) -> Result<(), FsError> {
        self.file.sync_data().map_err(FsError::while_doing("sync", &self.path))
    }

    /// Truncates a group that could not be written or synced, unless others have appended after it.
    /// The lock is held.
    pub(super) fn truncate_tail(&self, end: u64, length: usize, error: FsError) -> NotCommitted {
        let is_last = || -> Result<bool, FsError> {
            Ok(!self.was_replaced()? && self.read_rest(end + length as u64)?.is_empty())
        };
        if is_last().unwrap_or(false) && self.truncate_group(end, length) {
            NotCommitted::TakenOff(error)
        } else {
            NotCommitted::InDoubt(error)
        }
    }

    /// A group that was not acknowledged must not count: it is truncated, or overwritten where that
    /// fails. A failed sync is not retried; what readers find is authoritative, and a power cut may
    /// still restore what they do not find.
    fn truncate_group(&self, end: u64, length: usize) -> bool {
        let overwrite = || {
            self.file.write_all_at(&vec![FILLER; length], end).and_then(|()| self.file.sync_data())
        };
        if self.cut(end).is_ok() || overwrite().is_ok() {
            return true;
        }
        self.read_from(end).is_ok_and(|rest| !journal::holds_a_group(&rest))
    }

    /// Makes room up to `needed`, and some ahead. The sync after the group's bytes covers it.
    fn reserve(&self, needed: u64) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        if needed > length {
            let target = needed + RESERVE;
            let filler = vec![FILLER; usize::try_from(target - length).unwrap_or(usize::MAX)];
            self.file.write_all_at(&filler, length)?;
        }
        Ok(())
    }

    /// Truncates the file at `end`.
    pub(super) fn cut(&self, end: u64) -> Result<(), FsError> {
        self.file
            .set_len(end)
            .and_then(|()| self.file.sync_data())
            .map_err(FsError::while_doing("cut the torn end off", &self.path))
    }
}

#[cfg(test)]
impl JournalFile {
    /// Simulates a disk that rejects writes.
    pub(super) fn open_for_reading(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Journal's file with these bytes, and reserved space after them.
    fn journal(bytes: &[u8], reserve: &[u8]) -> (tempfile::TempDir, JournalFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, [bytes, reserve].concat()).unwrap();
        let (file, _) = JournalFile::open(&path).unwrap();
        (folder, file)
    }

    #[test]
    fn news_end_where_the_reserve_begins() {
        const LONG: usize = 3 * NEWS_CHUNK;
        let lines = |count: usize| "{\"seq\":1}\n".repeat(count).into_bytes();
        // around the ends of the pieces that it is read in
        let whole = NEWS_CHUNK / lines(1).len();
        for count in [1, 2, whole, whole + 1, 3 * whole, 3 * whole + 1, 20 * whole] {
            for (filler, length) in [(FILLER, 0), (FILLER, 1), (FILLER, LONG), (0, LONG)] {
                let reserve = vec![filler; length];
                let (_folder, file) = journal(&lines(count), &reserve);
                for skipped in [0, 1, count / 2, count] {
                    let begin = (skipped * lines(1).len()) as u64;
                    assert!(
                        file.read_news(begin).unwrap() == lines(count - skipped),
                        "{count} lines, {skipped} of them known, {} bytes of reserve",
                        reserve.len()
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_looked_at_behind_a_gap_too() {
        let gap = vec![FILLER; 2 * NEWS_CHUNK];
        let torn = [&b"{\"seq\":"[..], &gap, b"{\"commit\":1}\n"].concat();
        let (_folder, file) = journal(&torn, &[FILLER; 64]);
        assert_eq!(file.read_news(0).unwrap(), b"{\"seq\":\n");
        assert_eq!(file.read_rest(0).unwrap(), torn);
        assert!(file.read_rest(torn.len() as u64).unwrap().is_empty());
    }
}
