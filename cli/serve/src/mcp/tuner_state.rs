//! What the shim of a Tuner keeps between signals.

use crate::mcp::promoting::Promoter;
use agent_engine::target::kept_staging::KeptStaging;
use std::cell::RefCell;

#[derive(Default)]
pub struct TunerState {
    pub promoter: Promoter,
    /// Taken out while a signal is settled.
    pub staging: RefCell<KeptStaging>,
}
