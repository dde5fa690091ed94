//! Checks in a loop, for a terminal and beside the Architect's REST API.

use super::check::{CheckReport, check};
use crate::error::Failure;
use crate::repository::Location;
use std::time::Duration;

/// Checks at this interval without end. Only a first check that fails ends it: what fails later, a
/// remote or a rule that is being edited, may work the next time, and each new failure is a
/// warning.
pub fn watch(location: &Location, every: Duration, on_report: impl Fn(&CheckReport)) -> Failure {
    let mut last_problem = None;
    let mut is_first = true;
    loop {
        match checked_anew(location) {
            Ok(report) => {
                on_report(&report);
                last_problem = None;
            }
            Err(error) if is_first => return error,
            Err(error) => {
                let problem = error.messages.join(": ");
                if last_problem.as_ref() != Some(&problem) {
                    location.notices.warn(format!("the triggers were not checked: {problem}"));
                }
                last_problem = Some(problem);
            }
        }
        is_first = false;
        std::thread::sleep(every);
    }
}

/// The repository is opened anew, as it may have moved on.
fn checked_anew(location: &Location) -> Result<CheckReport, Failure> {
    let repository = location.open()?;
    let _telemetry = repository.telemetry();
    check(&repository)
}
