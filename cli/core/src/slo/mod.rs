//! Service level objectives of live traffic, in the terms of OpenSLO v1: an indicator counts good
//! events among all, an objective asks for a share of good ones over a rolling window, and what it
//! leaves is the error budget.
//!
//! They stand in `ci/budgets.json` under `slos`.

pub mod budget;
pub mod document;
pub mod openslo;
pub mod series;

use crate::formats::document::{DocumentError, Fields};
use crate::protocol::conventions as names;
use crate::protocol::kpi;
use crate::protocol::otlp::{Event, Span};
use semver::{Version, VersionReq};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

pub const MINUTE: u64 = 60;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// The age from which records are in no window; younger ones are read again for a new objective.
pub const LONGEST_WINDOW: u64 = 90 * DAY;

const KEYS: [&str; 7] =
    ["name", "display_name", "description", "indicator", "filter", "target", "window"];
const LONGEST_NAME: usize = 63;
/// OpenSLO's limit on a description.
const LONGEST_DESCRIPTION: usize = 1050;

/// One objective over one indicator.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    pub name: String,
    /// For people.
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub indicator: Indicator,
    pub filter: Filter,
    /// The share of events that has to be good: above 0 and below 1.
    pub target: f64,
    pub window: Window,
}

/// Which events count, and which of them are good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Indicator {
    /// Calls of the Runner; good ones have a result that is no error.
    Success,
    /// Calls that took at most so many milliseconds, as the Runner took them.
    Latency { at_most_ms: f64 },
    /// Rewards of at least this value.
    Reward { at_least: f64 },
    /// Calls that reported a cost of at most so many US dollars; calls without a cost do not count.
    Cost { at_most_usd: f64 },
}

/// Which events an objective is about; what is absent excludes none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    pub tool: Option<String>,
    /// A range of versions, as `^1.2`.
    pub version: Option<VersionReq>,
    /// A line of versions, as `1.2`.
    pub line: Option<Line>,
}

/// MAJOR.MINOR, the line on which PATCH versions follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub major: u64,
    pub minor: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// A rolling window, in whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub seconds: u64,
}

impl Window {
    /// OpenSLO's shorthand: `5m`, `6h`, `28d`, `4w`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "m" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            "w" => WEEK,
            _ => return None,
        };
        let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = number.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(unit)?;
        (seconds <= LONGEST_WINDOW).then_some(Self { seconds })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(WEEK, 'w'), (DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')];
        // 28 days are written as days, as is usual for SLOs
        let (unit, letter) = units
            .into_iter()
            .filter(|(unit, _)| *unit != WEEK)
            .find(|(unit, _)| self.seconds.is_multiple_of(*unit))
            .unwrap_or((MINUTE, 'm'));
        write!(formatter, "{}{letter}", self.seconds / unit)
    }
}

impl Filter {
    /// Equal for filters that take the same events, and for these alone.
    pub fn key(&self) -> String {
        let Self { tool, version, line } = self;
        format!(
            "tool={tool:?} version={} line={}",
            version.as_ref().map(VersionReq::to_string).unwrap_or_default(),
            line.map(|line| line.to_string()).unwrap_or_default(),
        )
    }

    pub fn takes(&self, version: Option<&str>, tool: Option<&str>) -> bool {
        let version = version.and_then(|version| version.parse::<Version>().ok());
        let in_range = self
            .version
            .as_ref()
            .is_none_or(|range| version.as_ref().is_some_and(|version| range.matches(version)));
        let on_line = self.line.is_none_or(|line| {
            version
                .as_ref()
                .is_some_and(|version| (version.major, version.minor) == (line.major, line.minor))
        });
        in_range && on_line && self.tool.as_deref().is_none_or(|wanted| tool == Some(wanted))
    }
}

impl Objective {
    /// Whether a span is an event of this objective, and a good one.
    pub fn of_span(&self, span: &Span) -> Option<bool> {
        let is_good = match self.indicator {
            Indicator::Success => !span.failed,
            Indicator::Latency { at_most_ms } => span.took_ms() <= at_most_ms,
            Indicator::Cost { at_most_usd } => {
                span.attributes.get(names::COST).and_then(Value::as_f64)? <= at_most_usd
            }
            Indicator::Reward { .. } => return None,
        };
        let counts = kpi::is_call(span)
            && self.filter.takes(span.text(names::VERSION), span.text(names::TOOL));
        counts.then_some(is_good)
    }

    /// Whether a log record is an event of this objective, and a good one.
    pub fn of_event(&self, event: &Event) -> Option<bool> {
        let Indicator::Reward { at_least } = self.indicator else { return None };
        let reward = kpi::reward(event)?;
        let counts = self.filter.takes(event.text(names::VERSION), event.text(names::TOOL));
        counts.then_some(reward >= at_least)
    }

    /// What its counts depend on: where this is the same, counts that were made before hold.
    pub fn measure(&self) -> String {
        format!("{:?} {}", self.indicator, self.filter.key())
    }
}

/// The objectives under `slos`; `place` names the list in errors.
pub fn parse(list: Vec<Value>, place: &str) -> Result<Vec<Objective>, DocumentError> {
    let mut names = BTreeSet::new();
    let mut objectives = Vec::new();
    for (number, value) in list.into_iter().enumerate() {
        let place = format!("{place}[{number}]");
        let objective = parse_one(value, &place)?;
        if !names.insert(objective.name.clone()) {
            return Err(DocumentError::new(
                place,
                format!("a second objective has the name \"{}\"", objective.name),
                "give each objective a name of its own",
            ));
        }
        objectives.push(objective);
    }
    Ok(objectives)
}

fn parse_one(value: Value, place: &str) -> Result<Objective, DocumentError> {
    let mut fields = Fields::new(value, place, "an SLO", &KEYS)?;
    let name = name(&mut fields, "calls-succeed")?;
    let indicator = match fields.take("indicator") {
        Some(value) => parse_indicator(value, &format!("{place}.indicator"))?,
        None => {
            return Err(fields
                .missing("indicator", "add one, such as \"indicator\": {\"type\": \"success\"}"));
        }
    };
    let filter = filter(fields.take("filter"), place)?;
    let target = match fields.number("target")? {
        Some(target) if target > 0.0 && target < 1.0 => target,
        Some(target) => {
            return Err(fields.error(
                format!("\"target\" is {target}"),
                "make \"target\" the share of good events, above 0 and below 1, as 0.99; with 1 \
                there is no error budget to spend",
            ));
        }
        None => return Err(fields.missing("target", "add one, such as \"target\": 0.99")),
    };
    let window = match fields.text("window")? {
        Some(text) => Window::parse(&text).ok_or_else(|| {
            fields.error(
                format!("\"window\" is \"{text}\""),
                "write a rolling window of at most 90d as a number and one of m, h, d, w, such as \
                \"28d\"",
            )
        })?,
        None => return Err(fields.missing("window", "add one, such as \"window\": \"28d\"")),
    };
    let description = fields.text("description")?;
    if description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION) {
        return Err(fields.error(
            format!("\"description\" is longer than {LONGEST_DESCRIPTION} characters"),
            "shorten it",
        ));
    }
    Ok(Objective {
        name,
        display_name: fields.text("display_name")?,
        description,
        indicator,
        filter,
        target,
        window,
    })
}

/// The name of an objective or a trigger.
pub fn name(fields: &mut Fields, example: &str) -> Result<String, DocumentError> {
    match fields.text("name")? {
        Some(name) if is_name(&name) => Ok(name),
        Some(name) => Err(fields.error(
            format!("\"name\" is \"{name}\""),
            format!("use lower-case letters, digits and `-`, 63 at most, as in \"{example}\""),
        )),
        None => {
            Err(fields.missing("name", &format!("add a name, such as \"name\": \"{example}\"")))
        }
    }
}

/// OpenSLO's rule for names: that of a DNS label (RFC 1123).
fn is_name(name: &str) -> bool {
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=LONGEST_NAME).contains(&bytes.len())
        && bytes.iter().all(|byte| is_label(*byte) || *byte == b'-')
        && is_label(bytes[0])
        && is_label(bytes[bytes.len() - 1])
}

/// The types of indicators, each with the key of its bound.
const TYPES: [(&str, Option<&str>); 4] = [
    ("success", None),
    ("latency", Some("at_most_ms")),
    ("reward", Some("at_least")),
    ("cost", Some("at_most_usd")),
];

fn parse_indicator(value: Value, place: &str) -> Result<Indicator, DocumentError> {
    let of = value.get("type").cloned();
    let known = TYPES.map(|(name, _)| name);
    let Some((name, bound)) =
        of.as_ref().and_then(Value::as_str).and_then(|of| TYPES.iter().find(|(n, _)| *n == of))
    else {
        // an object whose type is none of the known ones, or no object at all
        let fields = Fields::new(
            value,
            place,
            "an indicator",
            &["type", "at_most_ms", "at_least", "at_most_usd"],
        )?;
        let hint = format!("make \"type\" one of {}", known.join(", "));
        return Err(match of {
            Some(Value::String(of)) => fields.error(format!("\"type\" is \"{of}\""), hint),
            Some(other) => fields.wrong("type", &other, &format!("one of {}", known.join(", "))),
            None => fields.missing("type", &hint),
        });
    };
    let keys: Vec<&str> = std::iter::once("type").chain(*bound).collect();
    let mut fields = Fields::new(value, place, &format!("the indicator \"{name}\""), &keys)?;
    let Some(key) = bound else { return Ok(Indicator::Success) };
    let number = fields
        .number(key)?
        .ok_or_else(|| fields.missing(key, &format!("add the bound, such as \"{key}\": 0.5")))?;
    if number <= 0.0 && *name != "reward" {
        return Err(fields
            .error(format!("\"{key}\" is {number}"), format!("make \"{key}\" a number above 0")));
    }
    Ok(match *name {
        "latency" => Indicator::Latency { at_most_ms: number },
        "reward" => Indicator::Reward { at_least: number },
        _ => Indicator::Cost { at_most_usd: number },
    })
}

/// The filter at a place, which excludes nothing where there is none.
pub fn filter(value: Option<Value>, place: &str) -> Result<Filter, DocumentError> {
    let Some(value) = value else { return Ok(Filter::default()) };
    let place = format!("{place}.filter");
    let mut fields = Fields::new(value, &place, "a filter", &["tool", "version", "line"])?;
    let tool = fields.text("tool")?;
    let version = fields.text("version")?.map(|text| {
        VersionReq::parse(&text).map_err(|error| {
            fields.error(
                format!("\"version\" is \"{text}\": {error}"),
                "write a range of versions, such as \"^1.2\"",
            )
        })
    });
    let version = version.transpose()?;
    let line = fields.text("line")?.map(|text| {
        parse_line(&text).ok_or_else(|| {
            fields.error(
                format!("\"line\" is \"{text}\""),
                "write MAJOR.MINOR of the versions, such as \"1.2\"",
            )
        })
    });
    Ok(Filter { tool, version, line: line.transpose()? })
}

fn parse_line(text: &str) -> Option<Line> {
    let (major, minor) = text.split_once('.')?;
    Some(Line { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests;
