//! The root of a monotone function.

/// The point in `[low, high]` where an increasing function turns positive, by bisection until the
/// doubles run out.
///
/// A function that is positive already at `low` gives `low`, one that never becomes positive gives
/// `high`.
pub fn of_increasing(function: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    if function(low) > 0.0 {
        return low;
    }
    if function(high) <= 0.0 {
        return high;
    }
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if function(middle) > 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_exact_and_a_missing_root_gives_the_bound() {
        assert!(
            (of_increasing(|x| x * x - 2.0, 0.0, 2.0) - std::f64::consts::SQRT_2).abs() < 1e-15
        );
        assert!((of_increasing(|x| x, 1.0, 2.0) - 1.0).abs() < 1e-300);
        assert!((of_increasing(|x| x - 9.0, 1.0, 2.0) - 2.0).abs() < 1e-300);
    }
}
