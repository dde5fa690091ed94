//! The one hand: every effect has its door here.
//!
//! `git` alone names gix, `process` alone names duct and `tokio::process`, `store` alone names `object_store`, `watch`
//! alone names notify.

pub mod checkout;
pub mod child_folder;
pub mod clock;
pub mod data_copy;
pub mod env;
pub mod fs;
pub mod git;
pub mod git_command;
#[cfg(target_os = "linux")]
pub mod guard;
pub mod inherited;
pub mod input;
pub mod interrupt;
pub mod layout;
pub mod lease;
pub mod node;
pub mod output;
pub mod overlay;
pub mod process;
pub mod python;
pub mod random;
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
