//! What `agent` does, for any front: a terminal, a service, a hook. It writes to no terminal; what
//! happens goes to a `Reporter`.
//!
//! Each room knows only those before it: `world` (files, git, processes, the object store) and
//! `notices`; then `telemetry`, `staging`, `conversations` and `child`; `repository`; `target`
//! (what runs: code and state, and how their children start); `testing` and `sync`; `versions`;
//! `verification`; `architect`; `gc`.

pub mod architect;
pub mod child;
pub mod conversations;
pub mod error;
pub mod gc;
pub mod notices;
pub mod repository;
pub mod staging;
pub mod sync;
pub mod target;
pub mod telemetry;
pub mod templates;
pub mod testing;
pub mod verification;
pub mod versions;
pub mod world;
