//! The pure heart of `agent`: words, formats, rules and plans.
//!
//! Nothing here knows a clock, a file system, a process or git. The rooms around it observe the world, hand in values, and carry out what comes back.

pub mod adoption;
pub mod architect;
pub mod assessment;
pub mod budget;
pub mod call_arguments;
pub mod call_result;
pub mod canonical;
pub mod case;
pub mod comparison;
pub mod contract;
pub mod conventional;
pub mod diagnose;
pub mod difference;
pub mod document;
pub mod evaluation;
pub mod event;
pub mod expectation;
pub mod feedback;
pub mod gate;
pub mod journal;
pub mod ledger;
pub mod legality;
pub mod manifest;
pub mod object_id;
pub mod promotion;
pub mod publication;
pub mod python_version;
pub mod quarantine;
pub mod raw_object;
pub mod registry;
pub mod release;
pub mod repetition;
pub mod rollback;
pub mod semantic;
pub mod signal;
pub mod state;
pub mod statistics;
pub mod suggestion;
pub mod trace;
pub mod trailers;
pub mod verification;
pub mod version;
pub mod what;
pub mod wire;
