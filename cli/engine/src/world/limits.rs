//! The limits of this process: memory, files and cores.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// Has the allocator of a guard reserve its memory without the right to write it: otherwise it
/// counts as 1 GiB against the limit that the guard hands on.
#[cfg(target_os = "linux")]
pub const ALLOCATOR_RESERVES: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// Limits the private writable memory of this process and each that it starts. Reserved address
/// space does not count, since runtimes with a JIT compiler reserve more of it than there is
/// memory.
pub fn limit_memory(bytes: Option<u64>) -> std::io::Result<()> {
    bytes.map_or(Ok(()), |bytes| limit(Resource::Data, bytes))
}

/// Limits the files that this process, and each that it starts, may write, and has none of them
/// leave its memory in one.
pub fn limit_files() -> std::io::Result<()> {
    limit(Resource::Fsize, FILE_SIZE)?;
    limit(Resource::Core, 0)
}

const FILE_SIZE: u64 = 1 << 30;

/// Sets a limit; a lower one is kept.
fn limit(resource: Resource, most: u64) -> std::io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Raises the limit of open files of this process, as far as the system allows it.
pub fn allow_open_files(count: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(count, |maximum| count.min(maximum));
    if current.is_some_and(|current| current < wanted) {
        // fewer connections then
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The available parallelism. Cached, because the kernel computes it from several files.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}
