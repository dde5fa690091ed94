//! Text tables: columns are as wide as their widest cell, without trailing spaces.
//!
//! Own code, since it is shorter than setting up `comfy-table` for columns without borders, and
//! lines are not wrapped, so that they can be searched.

/// The lines of a table; the first row is its header. Cells must not have styles, which would count
/// towards their width.
pub fn lines(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
        })
        .collect();
    padded.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["A", "KIND", "NOTE"], vec!["v0.1.10", "é", ""], vec!["v1", "release", "x"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(
            super::lines(&rows),
            ["A        KIND     NOTE", "v0.1.10  é", "v1       release  x"]
        );
    }
}
