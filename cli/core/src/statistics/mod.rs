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

/// The sample variance; 0 for fewer than two values.
pub fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}
