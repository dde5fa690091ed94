//! The chart of a demo run: the versions as dots on a line, at the height of their held-out scores.

use crate::report::markup::escaped;
use std::fmt::Write;

/// One version in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub version: String,
    /// The origin of the version, in a word or two.
    pub label: String,
    /// Mean held-out score, 0 to 1.
    pub score: f64,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 80.0;

const STYLE: &str = "\
text{font:14px \
ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#24292f;text-anchor:middle}\
.faint{fill:#57606a;font-size:12px}.title{font-weight:600;text-anchor:start}\
.line{fill:none;stroke:#0969da;stroke-width:2.5}.dot{fill:#0969da}.card{fill:#fff;stroke:#d0d7de}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.faint{fill:#8d96a0}.line{stroke:#4493f8}.dot{fill:#4493f8}.card{fill:#0d1117;stroke:#30363d}}";

/// One self-contained SVG, light and dark.
pub fn draw(points: &[Point]) -> String {
    let places = places(points);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
        aria-label=\"{}\">\n\
        <style>{STYLE}</style>\n",
        escaped(&description(points))
    );
    let _ = writeln!(
        svg,
        "<rect class=\"card\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
        WIDTH - 1.0,
        HEIGHT - 1.0
    );
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"20\" y=\"30\">held-out score, version by version</text>"
    );
    let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline class=\"line\" points=\"{}\"/>", path.join(" "));
    for (point, (x, y)) in points.iter().zip(&places) {
        let _ = writeln!(svg, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>");
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\">{:.3}</text>", y - 14.0, point.score);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            HEIGHT - 44.0,
            escaped(&point.version)
        );
        let _ = writeln!(
            svg,
            "<text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            HEIGHT - 24.0,
            escaped(&point.label)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn description(points: &[Point]) -> String {
    let labels: Vec<_> = points
        .iter()
        .map(|point| format!("{} ({}) {:.3}", point.version, point.label, point.score))
        .collect();
    format!("Held-out score by version: {}", labels.join(", "))
}

/// The position of each dot: even steps to the right, heights over the range of the scores.
fn places(points: &[Point]) -> Vec<(f64, f64)> {
    let lowest = points.iter().map(|point| point.score).fold(f64::INFINITY, f64::min);
    let highest = points.iter().map(|point| point.score).fold(f64::NEG_INFINITY, f64::max);
    let range = (highest - lowest).max(1e-9);
    let step = (WIDTH - LEFT - RIGHT) / (points.len().max(2) - 1) as f64;
    let height = HEIGHT - TOP - BOTTOM - 20.0;
    points
        .iter()
        .enumerate()
        .map(|(index, point)| {
            (LEFT + step * index as f64, TOP + height * (1.0 - (point.score - lowest) / range))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_scores_are_higher_and_text_is_escaped() {
        let point = |version: &str, score| Point {
            version: version.to_owned(),
            label: "a<b".to_owned(),
            score,
        };
        let points = [point("v0.1.0", 0.5), point("v0.1.1", 0.9), point("v0.1.2", 0.5)];
        let places = places(&points);
        assert!(places[1].1 < places[0].1, "up is smaller y");
        assert!((places[0].1 - places[2].1).abs() < 1e-9);
        let svg = draw(&points);
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert_eq!(svg.matches("<circle").count(), 3);
    }
}
