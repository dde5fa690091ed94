//! The condition `feedback`: more textual items than usual; with `alike`, similar ones alone.

use super::alike;
use super::{Assessment, State, Wave};
use crate::slo::DAY;
use serde_json::json;

/// The past, which defines what is usual.
const USUAL: u64 = 28 * DAY;
/// More items than this are not compared with each other: the newest are.
const COMPARED: usize = 500;
/// What a firing shows of a wave.
const EXAMPLES: usize = 5;
/// The number of characters that are shown of a longer text.
const EXAMPLE: usize = 1000;

/// An item of feedback that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub text: String,
    /// Seconds since 1970, UTC.
    pub at: u64,
}

impl Wave {
    /// `items` are sorted by time, and reach back further than the window where there are older
    /// ones.
    pub fn assess(&self, items: &[Item], held_s: u64, now: u64) -> Assessment {
        let start = now.saturating_sub(self.window.seconds);
        let items = &items[..items.partition_point(|item| item.at <= now)];
        let (before, within) = items.split_at(items.partition_point(|item| item.at <= start));
        let within = &within[within.len().saturating_sub(COMPARED)..];
        let members = self.largest(within);
        let usual = self.usual(before, start);
        let is_wave =
            members.len() >= self.at_least && members.len() as f64 >= self.times_usual * usual;
        let start_of = |item: &&Item| item.text.chars().take(EXAMPLE).collect::<String>();
        let examples: Vec<_> = members.iter().take(EXAMPLES).map(start_of).collect();
        let ids: Vec<_> = members.iter().map(|item| &item.id).collect();
        Assessment {
            state: match members.first() {
                Some(first) if is_wave => State::since(first.at, now, held_s),
                _ => State::Quiet,
            },
            is_over: !is_wave,
            latest: Some(now),
            summary: format!(
                "{} {}items of feedback in {}; {usual:.1} are usual",
                members.len(),
                if self.alike.is_some() { "similar " } else { "" },
                self.window
            ),
            figures: json!({"items": ids, "usual": usual, "examples": examples,
                "window": self.window.to_string()}),
            version: None,
        }
    }

    /// The items of the largest group, or all.
    fn largest<'a>(&self, items: &'a [Item]) -> Vec<&'a Item> {
        let Some(threshold) = self.alike else { return items.iter().collect() };
        let texts: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
        let largest = alike::groups(&texts, threshold).into_iter().next().unwrap_or_default();
        largest.into_iter().map(|index| &items[index]).collect()
    }

    /// The mean number of items in the windows before, since the first item.
    fn usual(&self, before: &[Item], start: u64) -> f64 {
        let past = start.saturating_sub(USUAL);
        let before = &before[before.partition_point(|item| item.at <= past)..];
        let Some(first) = before.first() else { return 0.0 };
        let windows = (start - first.at).div_ceil(self.window.seconds).max(1);
        before.len() as f64 / windows as f64
    }
}
