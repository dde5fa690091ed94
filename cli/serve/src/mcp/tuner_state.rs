//! State that the shim of a Tuner keeps between signals.

use crate::mcp::promoting::Promoter;
use agent_engine::target::kept_staging::KeptStaging;
use std::cell::RefCell;

#[derive(Default)]
pub struct TunerState {
    pub promoter: Promoter,
    /// `None` while a signal is applied, which owns it then.
    pub staging: RefCell<KeptStaging>,
}
