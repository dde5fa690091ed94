//! The statistics the gate decides by: pure functions, each with its source, held to scipy's values
//! by `tests/reference/`.

pub mod binomial;
pub mod bootstrap;
pub mod change;
pub mod e_process;
pub mod mcnemar;
pub mod normal;
pub mod root;
pub mod special;
pub mod tango;
pub mod targeted;
pub mod wilcoxon;
