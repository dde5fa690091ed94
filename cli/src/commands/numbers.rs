//! Numbers as arguments.

/// The lowest and the highest reward: `LOW,HIGH`.
pub fn range(text: &str) -> Result<(f64, f64), String> {
    let parts = text.split_once(',');
    parts
        .and_then(|(low, high)| Some((number(low)?, number(high)?)))
        .filter(|(low, high)| low < high)
        .ok_or_else(|| "give the lowest and the highest reward, such as -1,1".to_owned())
}

/// A finite number.
pub fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// An amount of US dollars.
pub fn amount(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|amount| *amount >= 0.0)
        .ok_or_else(|| "give an amount of US dollars, such as 2.5".to_owned())
}
