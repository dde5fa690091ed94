//! What every verb is given: where it runs, and whom it speaks to.

use crate::arguments::Global;
use crate::printer::Printer;
use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct Context {
    /// Where the user stands, `-C` applied.
    pub directory: PathBuf,
    pub printer: Printer,
}

impl Context {
    pub fn new(global: &Global) -> Self {
        Self {
            directory: global.directory.clone().unwrap_or_else(|| PathBuf::from(".")),
            printer: Printer::new(global.json, global.volume(), global.color),
        }
    }
}
