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
    /// `None` where nothing reads the lines afterwards: a line for each case of a large tier costs
    /// as much as its judgement.
    lines: Option<String>,
}

impl Events {
    /// With `keeps_lines` for `take_lines`.
    pub(super) fn to(
        output: Option<&Output>,
        keeps_lines: bool,
        directory: &Path,
    ) -> Result<Self, FsError> {
        let output = output.map(|output| output.within(directory).open()).transpose()?;
        Ok(Self { output, failed: None, lines: keeps_lines.then(String::new) })
    }

    pub(super) fn add(&mut self, event: &Event) {
        if self.output.is_none() && self.lines.is_none() {
            return;
        }
        let line = event.to_line();
        if let Some(Err(error)) = self.output.as_mut().map(|output| output.write(line.as_bytes())) {
            self.failed.get_or_insert(error);
        }
        if let Some(lines) = &mut self.lines {
            lines.push_str(&line);
        }
    }

    /// The lines since the last call; none where they are not kept.
    pub(super) fn take_lines(&mut self) -> String {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The first failed write, if any.
    pub(super) fn finish(self) -> Result<(), FsError> {
        self.failed.map_or(Ok(()), Err)
    }
}
