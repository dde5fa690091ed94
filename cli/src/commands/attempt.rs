//! `agent attempt AIMS`: what `agent doctor` runs confined, to find out what holds. Like `agent launch`, it is no verb for users.

use crate::exit::Exit;
use crate::printer::Printer;
use agent_engine::world::sandbox::attempts::{self, ATTEMPT, Aims};
use serde_json::json;
use std::ffi::OsString;

/// What is to be tried, when argv says so.
pub fn asked(argv: impl IntoIterator<Item = OsString>) -> Option<Aims> {
    let mut words = argv.into_iter().skip(1);
    words.next().filter(|word| word == ATTEMPT)?;
    Aims::from_words(&words.collect::<Vec<_>>())
}

pub fn run(aims: &Aims, printer: &Printer) -> Exit {
    printer.data(json!(attempts::all(aims)).to_string());
    Exit::Done
}
