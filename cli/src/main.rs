//! The binary: one call that returns an exit code.

/// A tier makes many small things in one thread and drops them in another, which the C library's
/// allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    agent::main()
}
