//! `--events FILE`: what a run says, line by line as it comes, for `agent test merge`.

use crate::printer::Printer;
use crate::world::fs::{FsError, create_file};
use agent_core::event::Event;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where the lines go, and the lines.
pub(super) struct Events<'a> {
    file: Option<(std::fs::File, PathBuf)>,
    printer: Option<&'a Printer>,
    /// The first write that did not succeed; the run goes on.
    failed: Option<FsError>,
    lines: String,
}

pub(super) fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

impl<'a> Events<'a> {
    pub(super) fn to(file: Option<&Path>, directory: &Path, printer: &'a Printer) -> Result<Self, FsError> {
        let mut events = Self { file: None, printer: None, failed: None, lines: String::new() };
        match file {
            Some(file) if is_stdout(file) => events.printer = Some(printer),
            Some(file) => {
                let path = directory.join(file);
                events.file = Some((create_file(&path)?, path));
            }
            None => {}
        }
        Ok(events)
    }

    pub(super) fn add(&mut self, event: &Event) {
        let line = event.to_line();
        if let Some(printer) = self.printer {
            printer.data(line.trim_end());
        }
        if let Some((file, path)) = &mut self.file
            && let Err(error) = file.write_all(line.as_bytes())
        {
            self.failed.get_or_insert(FsError::while_doing("write", path)(error));
        }
        self.lines.push_str(&line);
    }

    /// The lines since the last call.
    pub(super) fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    /// Whether all of it was written.
    pub(super) fn finish(self) -> Result<(), FsError> {
        self.failed.map_or(Ok(()), Err)
    }
}
