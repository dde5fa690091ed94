//! `--events FILE`: the events of a run as JSON lines, for `agent test merge`.

use agent_core::testing::event::Event;
use agent_engine::world::fs::FsError;
use agent_engine::world::output::{Open, Output};
use std::path::Path;

/// The output, and lines that are not written yet.
pub(super) struct Events {
    output: Option<Open>,
    /// The first failed write; the run continues.
    failed: Option<FsError>,
    lines: String,
}

impl Events {
    pub(super) fn to(output: Option<&Output>, directory: &Path) -> Result<Self, FsError> {
        let output = output.map(|output| output.within(directory).open()).transpose()?;
        Ok(Self { output, failed: None, lines: String::new() })
    }

    pub(super) fn add(&mut self, event: &Event) {
        let line = event.to_line();
        if let Some(Err(error)) = self.output.as_mut().map(|output| output.write(line.as_bytes())) {
            self.failed.get_or_insert(error);
        }
        self.lines.push_str(&line);
    }

    /// The lines since the last call.
    pub(super) fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.lines)
    }

    /// The first failed write, if any.
    pub(super) fn finish(self) -> Result<(), FsError> {
        self.failed.map_or(Ok(()), Err)
    }
}
