//! Child processes, as far as it is pure: what they may reach, which variables they get, and what
//! is kept of what they wrote.

pub mod confinement;
pub mod last_words;
pub mod variable;
