//! End to end: the real binary, real git, real Python children, in folders of their own.

mod doctor;
mod help;
mod hooks;
mod init;
mod surface;
mod tiers;
mod versions;
mod world;
