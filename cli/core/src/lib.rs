//! The pure heart of `agent`: words, formats, rules and plans.
//!
//! Nothing here knows a clock, a file system, a process or git. The rooms around it observe the world, hand in values, and carry out what comes back.

pub mod adoption;
pub mod architect;
pub mod bisection;
pub mod child;
pub mod contract;
pub mod formats;
pub mod gate;
pub mod protocol;
pub mod state;
pub mod statistics;
pub mod testing;
pub mod verification;
pub mod version;

pub use adoption::{package, project};
pub use architect::feedback;
pub use bisection::{code_difference, difference};
pub use child::{confinement, last_words, variable};
pub use contract::assessment;
pub use formats::{
    canonical, committed, diagnose, document, json_text, manifest, natural, number, object_id, python_version, schema, suggestion,
};
pub use gate::{calibration, ledger};
pub use protocol::{
    call_arguments, call_result, conventions, discovery, kpi, mcp, otlp, raw_object, rpc, silence, span_tree, traffic, wire,
};
pub use state::{journal, semantic, signal};
pub use testing::{
    budget, case, comparison, evaluation, event, expectation, grouping, opinion, part, quarantine, ranking, repetition, scratch,
    similarity, trace,
};
pub use version::{
    conventional, legality, promotion, publication, record_refs, registry, release, reverts, rollback, sync, trailers, what,
};
