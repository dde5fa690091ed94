//! Numbers as JSON writes them: integers are compared digit by digit at any size, everything else
//! as the doubles they are.

use serde_json::Number;
use std::borrow::Cow;

/// Numbers with more zeros than this are not expanded: their digits would exhaust memory.
const MOST_ZEROS: i64 = 400;

/// `digits * 10^exponent`, without zeros at either end of the digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal<'a> {
    is_negative: bool,
    digits: Cow<'a, str>,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// `None` for an exponent that does not fit in a machine word.
    fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (digits, places) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (Cow::Owned(format!("{whole}{fraction}")), fraction.len()),
            None => (Cow::Borrowed(mantissa), 0),
        };
        let kept = digits.trim_end_matches('0').len();
        if kept == 0 {
            return Some(Self { is_negative: false, digits: Cow::Borrowed(""), exponent: 0 });
        }
        let exponent = exponent
            .checked_sub(i64::try_from(places).ok()?)?
            .checked_add(i64::try_from(digits.len() - kept).ok()?)?;
        let digits = match digits {
            Cow::Borrowed(digits) => Cow::Borrowed(digits[..kept].trim_start_matches('0')),
            Cow::Owned(digits) => Cow::Owned(digits[..kept].trim_start_matches('0').to_owned()),
        };
        Some(Self { is_negative, digits, exponent })
    }

    fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Without an exponent; `None` where that would be endless.
    fn plain(&self) -> Option<String> {
        if self.exponent.abs() > MOST_ZEROS {
            return None;
        }
        let sign = if self.is_negative { "-" } else { "" };
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        if self.is_integer() {
            let zeros = usize::try_from(self.exponent).unwrap_or_default();
            return Some(format!("{sign}{}{}", self.digits, "0".repeat(zeros)));
        }
        let places = usize::try_from(-self.exponent).unwrap_or_default();
        let digits = format!(
            "{}{}",
            "0".repeat((places + 1).saturating_sub(self.digits.len())),
            self.digits
        );
        let (whole, fraction) = digits.split_at(digits.len() - places);
        Some(format!("{sign}{whole}.{fraction}"))
    }
}

/// Whether two numbers are the same: 1, 1.0 and 1e0 are.
pub fn equal(one: &Number, other: &Number) -> bool {
    if let (Some(one), Some(other)) = (one.as_i64(), other.as_i64()) {
        return one == other;
    }
    let (text, other_text) = (one.to_string(), other.to_string());
    let decimals = Decimal::parse(&text).zip(Decimal::parse(&other_text));
    let are_same =
        decimals.as_ref().map_or_else(|| text == other_text, |(one, other)| one == other);
    let have_fractions =
        decimals.is_some_and(|(one, other)| !one.is_integer() && !other.is_integer());
    are_same
        || (have_fractions
            && one
                .as_f64()
                .zip(other.as_f64())
                .is_some_and(|(one, other)| one.total_cmp(&other).is_eq()))
}

/// Whether `got` is `expected` within `max(abs, rel * |expected|)`.
pub fn is_near(expected: &Number, got: &Number, rel: f64, abs: f64) -> bool {
    if equal(expected, got) {
        return true;
    }
    let (Some(one), Some(other)) = (expected.as_f64(), got.as_f64()) else { return false };
    difference(expected, got).unwrap_or((one - other).abs()) <= abs.max(rel * one.abs())
}

/// The distance between two different integers that are equal as doubles.
fn difference(one: &Number, other: &Number) -> Option<f64> {
    let integer = |number: &Number| {
        Decimal::parse(&number.to_string())
            .filter(Decimal::is_integer)?
            .plain()?
            .parse::<i128>()
            .ok()
    };
    integer(one)?.checked_sub(integer(other)?).map(|difference| difference.unsigned_abs() as f64)
}

/// The number without an exponent, for programs that accept no other form; `None` for a number that
/// is too large or too small for it.
pub fn plain(number: &Number) -> Option<Number> {
    let text = number.to_string();
    if !text.contains(['e', 'E']) {
        return Some(number.clone());
    }
    Decimal::parse(&text)?.plain()?.parse().ok()
}

/// A number by which something is named: 7 and 7.0 name the same.
pub fn as_name(number: &Number) -> String {
    let text = number.to_string();
    Decimal::parse(&text)
        .filter(Decimal::is_integer)
        .and_then(|decimal| decimal.plain())
        .unwrap_or(text)
}

/// A score outside of 0 to 1 by a rounding error is clamped: the cosine of equal vectors is
/// 1.0000000000000002 on most machines. Anything further outside is not a score.
pub fn as_score(score: f64) -> Option<f64> {
    const HAIR: f64 = 1e-9;
    (-HAIR..=1.0 + HAIR).contains(&score).then(|| score.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn integers_are_compared_digit_by_digit() {
        for (one, other, are_equal) in [
            ("1", "1.0", true),
            ("1000", "1e3", true),
            ("-0", "0.0", true),
            ("0.1", "0.10000000000000001", true),
            ("0.5", "5e-1", true),
            ("1915883588174806058", "1915883588174806059", false),
            ("9007199254740993", "9007199254740992.0", false),
            ("18446744073709551616", "18446744073709551617", false),
            ("18446744073709551616", "18446744073709551616.0", true),
            ("123456789012345678901234567890", "123456789012345678901234567891", false),
            ("1e400", "1e400", true),
            ("1e400", "1e401", false),
            ("1e400", "10e399", true),
            ("1e99999999999999999999", "1e99999999999999999999", true),
            ("1", "-1", false),
            ("1", "1.5", false),
        ] {
            assert_eq!(equal(&number(one), &number(other)), are_equal, "{one} {other}");
            assert_eq!(equal(&number(other), &number(one)), are_equal, "{other} {one}");
        }
    }

    #[test]
    fn a_tolerance_is_kept_exactly_at_any_size() {
        for (expected, got, rel, abs, is) in [
            ("1915883588174806059", "1915883588174806058", 0.0, 0.0, false),
            ("1915883588174806059", "1915883588174806058", 0.0, 1.0, true),
            ("1915883588174806059", "1915883588174806057", 0.0, 1.0, false),
            ("18446744073709551617", "18446744073709551616", 0.0, 0.5, false),
            ("18446744073709551617", "18446744073709551616", 1e-9, 0.0, true),
            ("1.0", "1.05", 0.1, 0.0, true),
            ("1e400", "1e401", 0.5, 0.0, false),
        ] {
            assert_eq!(
                is_near(&number(expected), &number(got), rel, abs),
                is,
                "{expected} {got} {rel} {abs}"
            );
        }
    }

    #[test]
    fn a_number_is_written_out() {
        let plain = |text: &str| plain(&number(text)).map(|number| number.to_string());
        for (text, written) in [
            ("1e3", "1000"),
            ("-1.5E2", "-150"),
            ("12e-4", "0.0012"),
            ("0e9", "0"),
            ("1.50", "1.50"),
            ("-125e-2", "-1.25"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(written), "{text}");
        }
        assert_eq!((plain("1e999999999"), plain("1e-999999999999999999999")), (None, None));
        assert_eq!(
            (
                as_name(&number("7.0")),
                as_name(&number("7.5")),
                as_name(&number("1915883588174806058"))
            ),
            ("7".into(), "7.5".into(), "1915883588174806058".into())
        );
    }

    #[test]
    fn score_is_clamped_within_rounding_error() {
        assert_eq!(as_score(1.000_000_000_000_000_2), Some(1.0));
        assert_eq!((as_score(-1e-17), as_score(0.3)), (Some(0.0), Some(0.3)));
        assert_eq!(
            (as_score(1.1), as_score(-0.1), as_score(f64::NAN), as_score(f64::INFINITY)),
            (None, None, None, None)
        );
    }

    proptest! {
        #[test]
        fn equal_numbers_compare_equal_in_any_notation(mantissa in any::<i64>(),
            exponent in -30..30i64) {
            let (one, other) = (number(&format!("{mantissa}e{exponent}")),
                number(&format!("{mantissa}0e{}", exponent - 1)));
            prop_assert!(equal(&one, &other));
            prop_assert!(equal(&one, &plain(&one).unwrap()));
            prop_assert!(is_near(&one, &other, 0.0, 0.0));
        }

        #[test]
        fn different_integers_differ(one in any::<i128>(), other in any::<i128>()) {
            prop_assert_eq!(equal(&number(&one.to_string()), &number(&other.to_string())),
                one == other);
        }
    }
}
