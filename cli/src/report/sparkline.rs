//! A row of block characters, as high as its values.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Between the smallest and the largest value; what is missing is a space. Values that are all the
/// same are full blocks.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of seven blocks"
)]
pub fn of(values: &[Option<f64>]) -> String {
    let present = || values.iter().flatten().copied();
    let (low, high) =
        (present().fold(f64::INFINITY, f64::min), present().fold(f64::NEG_INFINITY, f64::max));
    let last = (BLOCKS.len() - 1) as f64;
    let block = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 1.0 };
        BLOCKS[(share * last).round() as usize]
    };
    values.iter().map(|value| value.map_or(' ', block)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_is_as_high_as_its_block() {
        assert_eq!(super::of(&[Some(0.0), None, Some(0.5), Some(1.0)]), "▁ ▅█");
        assert_eq!(super::of(&[Some(0.3), Some(0.3)]), "██");
        assert_eq!(super::of(&[None, None]), "  ");
        assert_eq!(super::of(&[]), "");
    }
}
