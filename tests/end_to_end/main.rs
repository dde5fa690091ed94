//! End to end: the real binary, real git, real Python children, in folders of their own.

mod hooks;
mod init;
mod surface;
mod world;
