//! All side effects: files, processes, git, the clock, the environment, the object store.
//!
//! One place for each outside crate: `git` names gix, `process` duct, `child_process`
//! `tokio::process`, `store` `object_store`, `watch` notify.

pub mod checkout;
pub mod child_folder;
pub mod child_process;
pub mod clock;
pub mod data_copy;
pub mod encryption;
pub mod env;
pub mod event_loop;
pub mod fs;
pub mod git;
pub mod git_command;
#[cfg(target_os = "linux")]
pub mod guard;
pub mod http;
pub mod inherited;
pub mod input;
pub mod interrupt;
pub mod layout;
pub mod lease;
pub mod limits;
pub mod node;
pub mod output;
pub mod process;
pub mod python;
pub mod random;
pub mod read_only;
pub mod recording;
#[cfg(target_os = "linux")]
pub mod sandbox;
#[cfg(not(target_os = "linux"))]
pub mod sandbox {
    pub fn has_landlock() -> bool {
        false
    }
}
pub mod state_file;
pub mod stdout;
pub mod store;
pub mod temporary;
pub mod toolchain;
pub mod unwinding;
pub mod watch;
