//! The pure part of child processes: their access, their environment variables, and the stored end
//! of their output.

pub mod confinement;
pub mod stderr_tail;
pub mod variable;
