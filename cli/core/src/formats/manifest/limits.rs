//! `[limits]`: the time and the memory that children have.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub start_s: f64,
    pub call_s: f64,
    /// Tools with a `call_s` of their own.
    pub tools: BTreeMap<String, f64>,
    /// A conversation without a turn for this many days is expired.
    pub conversation_days: f64,
    /// The memory limit of each process of a child, in MiB: in tiers, `agent run` and `agent tune`.
    /// Without it there is no limit.
    pub memory_mb: Option<u64>,
    /// The memory limit of each process of a child that serves a host.
    pub serving_memory_mb: Option<u64>,
}

/// Below it no interpreter starts; above it the number is not a limit.
const MEMORY_MB: std::ops::RangeInclusive<u64> = 64..=1 << 24;

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_s: 10.0,
            call_s: 30.0,
            tools: BTreeMap::new(),
            conversation_days: 30.0,
            memory_mb: None,
            serving_memory_mb: None,
        }
    }
}

impl Limits {
    pub fn start(&self) -> Duration {
        Duration::from_secs_f64(self.start_s)
    }

    pub fn call(&self) -> Duration {
        Duration::from_secs_f64(self.call_s)
    }

    /// No call of any tool takes longer.
    pub fn longest_call(&self) -> Duration {
        Duration::from_secs_f64(self.tools.values().copied().fold(self.call_s, f64::max))
    }

    pub fn tools(&self) -> BTreeMap<String, Duration> {
        self.tools
            .iter()
            .map(|(tool, seconds)| (tool.clone(), Duration::from_secs_f64(*seconds)))
            .collect()
    }

    pub fn conversation(&self) -> Duration {
        Duration::from_secs_f64(self.conversation_days * 86_400.0)
    }

    /// In bytes.
    pub fn memory(&self) -> Option<u64> {
        self.memory_mb.map(|megabytes| megabytes << 20)
    }

    pub fn serving_memory(&self) -> Option<u64> {
        self.serving_memory_mb.map(|megabytes| megabytes << 20)
    }

    pub(super) fn problem(&self) -> Option<(String, String)> {
        let memory = [
            ("limits.memory_mb", self.memory_mb),
            ("limits.serving_memory_mb", self.serving_memory_mb),
        ];
        if let Some((key, Some(megabytes))) = memory
            .into_iter()
            .find(|(_, megabytes)| megabytes.is_some_and(|count| !MEMORY_MB.contains(&count)))
        {
            let (least, most) = (MEMORY_MB.start(), MEMORY_MB.end());
            return Some((
                key.to_owned(),
                format!("is {megabytes}; it has to be a number of MiB from {least} to {most}"),
            ));
        }
        let named = [
            ("limits.start_s".to_owned(), self.start_s),
            ("limits.call_s".to_owned(), self.call_s),
        ];
        let tools =
            self.tools.iter().map(|(tool, seconds)| (format!("limits.tools.{tool}"), *seconds));
        let wrong = named
            .into_iter()
            .chain(tools)
            .find(|(_, seconds)| !(*seconds > 0.0 && *seconds <= 86_400.0));
        if let Some((key, seconds)) = wrong {
            return Some((
                key,
                format!("is {seconds}; it has to be a number of seconds above 0 and at most a day"),
            ));
        }
        let days = self.conversation_days;
        let fits = days > 0.0 && days <= 36_500.0;
        (!fits).then(|| {
            (
                "limits.conversation_days".to_owned(),
                format!("is {days}; it has to be a number of days above 0 and at most 36500"),
            )
        })
    }
}
