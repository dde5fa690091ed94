//! Natural sort order of names: `case-2` before `case-10`.

use std::cmp::Ordering;

/// Runs of digits are compared as numbers, everything else byte by byte. Different names are never
/// equal.
pub fn compare(one: &str, two: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), two.as_bytes());
    while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let numbers = (number(&mut left), number(&mut right));
            match numbers.0.len().cmp(&numbers.1.len()).then_with(|| numbers.0.cmp(numbers.1)) {
                Ordering::Equal => {}
                other => return other,
            }
        } else if a == b {
            (left, right) = (&left[1..], &right[1..]);
        } else {
            return a.cmp(&b);
        }
    }
    // what differs in leading zeros alone
    left.len().cmp(&right.len()).then_with(|| one.cmp(two))
}

/// Takes the digits that `rest` begins with; gives them without leading zeros.
fn number<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let sorted = [
            "",
            "a",
            "a0",
            "a01",
            "a1",
            "a2",
            "a2b",
            "a10",
            "a10-2",
            "a10-11",
            "a99999999999999999999999",
            "b",
            "ä1",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (with, two) in sorted.iter().enumerate() {
                assert_eq!(compare(one, two), at.cmp(&with), "{one} {two}");
            }
        }
    }

    proptest! {
        #[test]
        fn natural_order_is_total(mut names in proptest::collection::vec("[ab0-2]{0,6}", 3)) {
            names.sort_by(|one, two| compare(one, two));
            prop_assert_ne!(compare(&names[0], &names[2]), Ordering::Greater);
            for one in &names {
                for two in &names {
                    prop_assert_eq!(compare(one, two), compare(two, one).reverse());
                    prop_assert_eq!(compare(one, two) == Ordering::Equal, one == two);
                }
            }
        }
    }
}
