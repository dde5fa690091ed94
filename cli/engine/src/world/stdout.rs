//! Complete writes to stdout: a short write, or a disk that is full for a moment, does not cut a
//! document off.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::Write as _;

/// The number of retries of a write that made no progress.
const RETRIES: u32 = 2;

/// Writes all of it. Without the buffer of the standard library, which does not report how much was
/// written when a write fails.
pub fn write_all(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.flush()?;
    let mut rest = bytes;
    let mut failed = 0;
    while !rest.is_empty() {
        match rustix::io::write(&stdout, rest) {
            Ok(written) if written > 0 => {
                rest = &rest[written..];
                failed = 0;
            }
            Err(Errno::INTR) => {}
            // the pipe is non-blocking: wait until it is writable
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None)),
            Err(error) if failed >= RETRIES || error == Errno::PIPE => return Err(error.into()),
            Ok(_) if failed >= RETRIES => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(_) | Err(_) => failed += 1,
        }
    }
    Ok(())
}
