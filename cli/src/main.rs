//! The binary: one call that returns an exit code.

/// A tier allocates many small objects in one thread and frees them in another, for which the C
/// library's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    agent::main()
}
