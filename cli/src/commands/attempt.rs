//! `agent attempt AIMS`: `agent doctor` runs it confined, to check which accesses are denied. Like
//! `agent launch`, it is not a verb for users.

use crate::exit::Exit;
use crate::printer::Printer;
use agent_engine::world::sandbox::attempts::{self, ATTEMPT, ProbeTargets};
use serde_json::json;
use std::ffi::OsString;

/// The accesses to try, from argv.
pub fn from_argv(argv: impl IntoIterator<Item = OsString>) -> Option<ProbeTargets> {
    let mut words = argv.into_iter().skip(1);
    words.next().filter(|word| word == ATTEMPT)?;
    ProbeTargets::from_arguments(&words.collect::<Vec<_>>())
}

pub fn run(targets: &ProbeTargets, printer: &Printer) -> Exit {
    printer.data(json!(attempts::all(targets)).to_string());
    Exit::Done
}
