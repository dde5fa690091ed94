//! The operations of `agent`, for any front end: a terminal, a service, a hook. It does not print;
//! notices and progress go to a `Reporter`.
//!
//! Each module depends only on those before it: `world` (files, git, processes, the object store)
//! and `notices`; then `telemetry`, `staging`, `conversations` and `child`; `repository`; `target`
//! (the code and state to run, and how their children start); `testing`, `off_policy` and `sync`;
//! `versions`; `canary`, `effects`, `replay`,
//! `verification`; `architect`; `trigger`, `gc`.

pub mod architect;
pub mod canary;
pub mod child;
pub mod conversations;
pub mod effects;
pub mod error;
pub mod gc;
pub mod notices;
pub mod off_policy;
pub mod replay;
pub mod repository;
pub mod slo;
pub mod staging;
pub mod sync;
pub mod target;
pub mod telemetry;
pub mod templates;
pub mod testing;
pub mod trigger;
pub mod verification;
pub mod versions;
pub mod world;
