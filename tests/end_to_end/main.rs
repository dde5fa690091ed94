//! End to end: the real binary, real git, real Python children, in folders of their own.

mod adopt;
mod architect;
mod bench;
mod cases;
mod clients;
mod doctor;
mod faults;
mod gate;
mod help;
mod history;
mod hooks;
mod init;
mod kill;
mod known;
mod mcp;
mod misbehaving;
mod parts;
mod pipes;
mod protocol;
mod served;
mod surface;
mod surroundings;
mod tiers;
mod tune;
mod versions;
mod world;
