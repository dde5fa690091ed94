//! Recorded calls of service, run again on a candidate and on what is served.
//!
//! `served_call` is a call as it is recorded, `redaction` what is taken out of it first. `units`
//! makes of many calls the distinct ones and the conversations that can be run again, and
//! `verdict` what their answers on both sides amount to.

pub mod expectations;
pub mod redaction;
pub mod served_call;
pub mod units;
pub mod verdict;
