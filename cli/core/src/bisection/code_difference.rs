//! The code of two versions, file by file and line by line, as far as a page can show it.

use crate::bisection::difference::{PathChange, PathStatus};
use crate::formats::object_id::ObjectId;
use crate::formats::text_difference::{self, ChangeTag};
use crate::testing::judgement::cut;
use semver::Version;
use serde::Serialize;
use std::time::Duration;

pub const SCHEMA: &str = "agent/code-diff@1";
/// Files that are listed.
pub const FILES: usize = 300;
/// The byte limit per side of a compared file, and of all files together.
pub const FILE_BYTES: usize = 256 * 1024;
const BYTES: usize = 8 * 1024 * 1024;
/// After this long the comparison of a file is a rough one.
const TIME_LIMIT: Duration = Duration::from_millis(100);
/// Lines shown of a file, and of all files together.
const FILE_LINES: usize = 400;
const LINES: usize = 4000;
/// Characters shown of a line.
const LINE_LENGTH: usize = 400;
/// Unchanged lines around a change.
const CONTEXT: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeDifference {
    pub schema: &'static str,
    pub from: ObjectId,
    pub to: ObjectId,
    pub from_version: Option<Version>,
    pub to_version: Option<Version>,
    pub files: Vec<FileDifference>,
    /// Changed files that are not listed.
    pub left_off: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    pub path: String,
    pub status: PathStatus,
    /// Lines; null where they were not compared.
    pub added: Option<usize>,
    pub removed: Option<usize>,
    pub hunks: Vec<Hunk>,
    /// Lines of its hunks that are left off.
    pub left_off: usize,
    /// Why its lines are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withheld {
    /// It belongs to held-out cases.
    HeldOut,
    Binary,
    TooLarge,
}

/// Changed lines with the lines around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// In the format of a unified diff: `@@ -1,2 +1,3 @@`.
    pub header: String,
    /// Each led by ` `, `+` or `-`.
    pub lines: Vec<String>,
}

/// Both sides of a file; `None` where it is not there.
pub struct Sides<'a> {
    pub old: Option<&'a [u8]>,
    pub new: Option<&'a [u8]>,
}

/// The files of one difference, in order, with a limit on the total lines shown.
#[derive(Debug)]
pub struct Files {
    taken: Vec<FileDifference>,
    lines_left: usize,
    bytes_left: usize,
}

impl Default for Files {
    fn default() -> Self {
        Self { taken: Vec::new(), lines_left: LINES, bytes_left: BYTES }
    }
}

impl Files {
    /// A file whose lines are not shown.
    pub fn withhold(&mut self, change: PathChange, why: Withheld) {
        let PathChange { path, status } = change;
        self.taken.push(FileDifference {
            path,
            status,
            added: None,
            removed: None,
            hunks: Vec::new(),
            left_off: 0,
            withheld: Some(why),
        });
    }

    /// A file with both of its sides.
    pub fn add(&mut self, change: PathChange, sides: &Sides<'_>) {
        let [old, new] = [sides.old.unwrap_or_default(), sides.new.unwrap_or_default()];
        let bytes = old.len() + new.len();
        if old.len().max(new.len()) > FILE_BYTES || bytes > self.bytes_left {
            return self.withhold(change, Withheld::TooLarge);
        }
        self.bytes_left -= bytes;
        let (Some(old), Some(new)) = (text(old), text(new)) else {
            return self.withhold(change, Withheld::Binary);
        };
        let (added, removed, found) = text_difference::hunks(old, new, CONTEXT, TIME_LIMIT);
        let mut room = FILE_LINES.min(self.lines_left);
        let granted = room;
        let mut left_off = 0;
        let mut hunks = Vec::new();
        for found in found {
            let total = found.lines.len();
            let shown = hunk(found, room);
            room -= shown.lines.len();
            left_off += total - shown.lines.len();
            if !shown.lines.is_empty() {
                hunks.push(shown);
            }
        }
        self.lines_left -= granted - room;
        let PathChange { path, status } = change;
        self.taken.push(FileDifference {
            path,
            status,
            added: Some(added),
            removed: Some(removed),
            hunks,
            left_off,
            withheld: None,
        });
    }

    pub fn finish(self) -> Vec<FileDifference> {
        self.taken
    }
}

/// As in git: a file with a NUL byte is binary.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// A hunk with at most `room` of its lines.
fn hunk(found: text_difference::Hunk, room: usize) -> Hunk {
    let sign = |tag| match tag {
        ChangeTag::Equal => ' ',
        ChangeTag::Insert => '+',
        ChangeTag::Delete => '-',
    };
    let shown = found.lines.iter().take(room);
    let lines = shown.map(|(tag, line)| format!("{}{}", sign(*tag), cut(line, LINE_LENGTH)));
    Hunk { lines: lines.collect(), header: found.header }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: Option<&[u8]>, new: Option<&[u8]>, expected: &str) {
        let status = match (old, new) {
            (None, _) => PathStatus::Added,
            (_, None) => PathStatus::Removed,
            _ => PathStatus::Modified,
        };
        let mut files = Files::default();
        files.add(PathChange { path: "a".to_owned(), status }, &Sides { old, new });
        let file = files.finish().remove(0);
        let lines = file
            .hunks
            .iter()
            .map(|hunk| format!("{} {}", hunk.header, hunk.lines.join("|")))
            .collect::<Vec<_>>()
            .join("; ");
        assert_eq!(
            format!("{:?} {:?} {:?} {lines}", file.added, file.removed, file.withheld),
            expected
        );
    }

    #[test]
    fn difference_counts_lines_and_shows_context() {
        check(
            Some(b"a\nb\n"),
            Some(b"a\r\nc\n"),
            "Some(2) Some(2) None @@ -1,2 +1,2 @@ -a|-b|+a|+c",
        );
        check(None, Some(b"a\nb"), "Some(2) Some(0) None @@ -0,0 +1,2 @@ +a|+b");
        check(Some(b"a\n"), None, "Some(0) Some(1) None @@ -1 +0,0 @@ -a");
        check(
            Some(b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"),
            Some(b"1\n2\n3\n4\nx\n6\n7\n8\n9\n"),
            "Some(1) Some(1) None @@ -2,7 +2,7 @@  2| 3| 4|-5|+x| 6| 7| 8",
        );
        check(Some(b"a\0"), Some(b"b"), "None None Some(Binary) ");
        check(Some(b"\xff"), Some(b"b"), "None None Some(Binary) ");
        check(None, Some(&vec![b'a'; FILE_BYTES + 1]), "None None Some(TooLarge) ");
    }

    #[test]
    fn shown_difference_is_bounded() {
        let text = "a line\n".repeat(FILE_LINES + 7);
        let mut files = Files::default();
        for number in 0..=LINES / FILE_LINES {
            let change = PathChange { path: number.to_string(), status: PathStatus::Added };
            files.add(change, &Sides { old: None, new: Some(text.as_bytes()) });
        }
        let files = files.finish();
        let shown: Vec<usize> =
            files.iter().map(|file| file.hunks.iter().map(|hunk| hunk.lines.len()).sum()).collect();
        assert_eq!(
            (shown[0], files[0].left_off, files[0].added),
            (FILE_LINES, 7, Some(FILE_LINES + 7))
        );
        assert_eq!(shown.iter().sum::<usize>(), LINES);
        let last = files.last().unwrap();
        assert_eq!((last.hunks.len(), last.left_off), (0, FILE_LINES + 7));
    }

    #[test]
    fn a_long_line_is_cut() {
        let mut files = Files::default();
        let long = "ä".repeat(LINE_LENGTH * 2);
        files.add(
            PathChange { path: "a".to_owned(), status: PathStatus::Added },
            &Sides { old: None, new: Some(long.as_bytes()) },
        );
        assert!(files.finish()[0].hunks[0].lines[0].chars().count() < LINE_LENGTH + 10);
    }
}
