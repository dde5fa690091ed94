//! The recorders of the content of calls, as `[record]` of the served version sets them.

use agent_core::formats::record::Record;
use agent_engine::notices::Notices;
use agent_engine::telemetry::Recorder;
use std::cell::RefCell;
use std::sync::Arc;

/// The recorder of the last call: versions with the same rules share it.
#[derive(Default)]
pub struct Recorders(RefCell<Option<(Record, Option<Arc<Recorder>>)>>);

impl Recorders {
    /// `None` where nothing is to be recorded, or cannot be: a warning states why, once.
    pub fn of(&self, record: &Record, notices: &Notices) -> Option<Arc<Recorder>> {
        if !record.content {
            return None;
        }
        let mut known = self.0.borrow_mut();
        if let Some((_, recorder)) = known.as_ref().filter(|(known, _)| known == record) {
            return recorder.clone();
        }
        let recorder = made(record, notices);
        *known = Some((record.clone(), recorder.clone()));
        recorder
    }
}

fn made(record: &Record, notices: &Notices) -> Option<Arc<Recorder>> {
    match Recorder::new(record) {
        Ok(recorder) => {
            let how = if record.key.is_some() { ", encrypted" } else { "" };
            notices.info(format!(
                "arguments and results of calls are recorded{how} (`[record]` of agent.toml)"
            ));
            Some(Arc::new(recorder))
        }
        Err(error) => {
            notices.warn(format!("arguments and results of calls are not recorded: {error}"));
            None
        }
    }
}
