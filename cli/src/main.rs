//! The binary: one call that returns an exit code.

fn main() -> std::process::ExitCode {
    agent::main()
}
