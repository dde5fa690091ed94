use crate::commands::slo::{objectives_table, percent};
use crate::commands::time;
use crate::context::Context;
use crate::exit::{CommandResult, Exit};
use crate::printer::{Printer, Style};
use crate::report::{sparkline, table};
use crate::terminal::{self, Event, Screen};
use agent_core::protocol::live::{Figures, RANGES, Range, Series};
use agent_engine::error::Failure;
use agent_engine::repository::Repository;
use agent_engine::slo;
use agent_engine::versions::live;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;

/// Show live traffic by version, updated until `q`
///
/// Prints for each version: calls a minute, the share of errors, the median and the 95th percentile
/// of their duration, the mean reward, the cost, and the calls over time. Below are the objectives
/// of ci/budgets.json. Where stdin or stdout is no terminal, one frame is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\
    \n  agent top\
    \n  agent top --since 24h --once\
    \n  agent top --json\n\n\
    `agent serve versions` has the same as charts, at `#/live`.")]
pub struct Arguments {
    /// The range up to now: 1h, 6h, 24h, 7d, 28d or 90d
    #[arg(long, value_name = "RANGE", default_value = "1h", value_parser = range)]
    since: Range,
    /// Print one frame
    #[arg(long)]
    once: bool,
    /// The time between two frames
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time::duration)]
    every: SignedDuration,
}

/// Characters of a sparkline.
const SPARKS: usize = 32;
const LEAST: Duration = Duration::from_millis(100);

fn range(text: &str) -> Result<Range, String> {
    Range::named(text)
        .ok_or_else(|| format!("give one of {}", RANGES.map(|range| range.name).join(", ")))
}

pub fn run(arguments: &Arguments, context: &Context) -> CommandResult {
    let repository = context.repository()?;
    if arguments.once || context.printer.is_json() || !terminal::is_there() {
        let frame = Frame::now(arguments.since, &repository)?;
        context.printer.json(&frame.document());
        context.printer.data(frame.lines().join("\n"));
        frame.warnings().for_each(|warning| context.printer.warn(warning));
        return Ok(Exit::Done);
    }
    let every = Duration::try_from(arguments.every).unwrap_or_default();
    if every < LEAST {
        return Err(Failure::usage("`--every` is at least 0.1s"));
    }
    // what cannot be read at all fails before the screen is changed
    let mut frame = Frame::now(arguments.since, &repository)?;
    let screen = Screen::open()?;
    loop {
        context.printer.frame(&frame.screen(terminal::size()));
        match screen.wait(every) {
            Event::Key(b'q' | b'Q') => return Ok(Exit::Done),
            Event::Interrupted => return Ok(Exit::Interrupted),
            Event::Key(_) | Event::Elapsed => frame = Frame::now(arguments.since, &repository)?,
        }
    }
}

/// The figures at a moment.
struct Frame {
    live: live::Report,
    objectives: slo::Report,
}

impl Frame {
    fn now(range: Range, repository: &Repository) -> Result<Self, Failure> {
        let objectives = slo::report(&slo::budgets(repository)?, repository)?;
        Ok(Self { live: live::report(range, repository)?, objectives })
    }

    fn warnings(&self) -> impl Iterator<Item = &String> {
        let twice = |warning: &&String| !self.live.warnings.as_slice().contains(warning);
        let more = self.objectives.warnings.as_slice().iter().filter(twice);
        self.live.warnings.as_slice().iter().chain(more)
    }

    fn document(&self) -> Value {
        let versions: Vec<_> = self
            .live
            .series
            .iter()
            .map(|series| {
                let mut document = series.whole.document();
                document["version"] = json!(series.version);
                document["calls_per_minute"] = json!(self.per_minute(&series.whole));
                document
            })
            .collect();
        json!({
            "schema": "agent/top@1",
            "at": self.live.at.to_string(),
            "range": self.live.range.name,
            "versions": versions,
            "objectives": self.objectives.document()["objectives"],
        })
    }

    fn per_minute(&self, figures: &Figures) -> f64 {
        figures.calls as f64 / (self.live.range.seconds as f64 / 60.0)
    }

    /// The tables, without styles.
    fn lines(&self) -> Vec<String> {
        let mut lines = if self.live.series.is_empty() {
            vec![format!("no calls and no rewards in the last {}", self.live.range.name)]
        } else {
            let titles =
                ["VERSION", "CALLS/MIN", "ERRORS", "P50", "P95", "REWARD", "COST", "CALLS", ""];
            let rows = self.live.series.iter().map(|series| self.row(series));
            let header = titles.map(str::to_owned).to_vec();
            table::lines(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
        };
        if !self.objectives.objectives.is_empty() {
            lines.push(String::new());
            lines.extend(objectives_table(&self.objectives));
        }
        lines
    }

    fn row(&self, series: &Series) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let whole = &series.whole;
        // what was recorded may be no version
        let is_version = series.version.starts_with(|first: char| first.is_ascii_digit());
        vec![
            format!("{}{}", if is_version { "v" } else { "" }, series.version),
            format!("{:.1}", self.per_minute(whole)),
            or_dash(whole.error_rate().map(percent)),
            or_dash(whole.times.quantile(0.5).map(milliseconds)),
            or_dash(whole.times.quantile(0.95).map(milliseconds)),
            or_dash(whole.reward_mean().map(|mean| format!("{mean:.3} ({})", whole.rewards))),
            or_dash(whole.cost_usd().map(|usd| format!("${usd:.4}"))),
            whole.calls.to_string(),
            sparkline::of(&sparks(&series.steps)),
        ]
    }

    /// The frame for a screen of so many columns and lines.
    fn screen(&self, (columns, rows): (usize, usize)) -> Vec<String> {
        let at = self.live.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let title = format!("{at}, the last {}; q quits", self.live.range.name);
        let mut lines = vec![Printer::styled(Style::Faint, &cut(&title, columns)), String::new()];
        for warning in self.warnings() {
            lines.push(Printer::styled(Style::Warning, &cut(warning, columns)));
        }
        let spent: Vec<_> = self
            .objectives
            .objectives
            .iter()
            .filter(|(_, standing)| standing.budget_left.is_some_and(|left| left <= 0.0))
            .map(|(objective, _)| format!("{} ", objective.name))
            .collect();
        lines.extend(self.lines().iter().map(|line| {
            let shown = cut(line, columns);
            let is_title = ["VERSION ", "OBJECTIVE "].iter().any(|title| line.starts_with(title));
            if is_title {
                Printer::styled(Style::Strong, &shown)
            } else if spent.iter().any(|name| line.starts_with(name)) {
                Printer::styled(Style::Bad, &shown)
            } else {
                shown
            }
        }));
        lines.truncate(rows);
        lines
    }
}

fn cut(line: &str, columns: usize) -> String {
    line.chars().take(columns).collect()
}

/// The calls of equal parts of the range.
fn sparks(steps: &[Figures]) -> Vec<Option<f64>> {
    let part = steps.len().div_ceil(SPARKS).max(1);
    let sum = |steps: &[Figures]| steps.iter().map(|step| step.calls).sum::<u64>();
    steps
        .chunks(part)
        .map(|steps| Some(sum(steps)).filter(|sum| *sum > 0))
        .map(|sum| sum.map(|sum| sum as f64))
        .collect()
}

/// Three digits.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_that_fits() {
        for (ms, shown) in [(0.04, "0.0 ms"), (9.94, "9.9 ms"), (99.6, "100 ms"), (1500.0, "1.5 s")]
        {
            assert_eq!(milliseconds(ms), shown);
        }
    }

    #[test]
    fn a_sparkline_sums_steps_that_do_not_fit() {
        let step = |calls| Figures { calls, ..Figures::default() };
        let steps: Vec<_> = (0..96).map(|number| step(u64::from(number >= 48))).collect();
        let sparks = sparks(&steps);
        assert_eq!(sparks.len(), 32);
        assert_eq!((sparks[15], sparks[16]), (None, Some(3.0)));
        assert_eq!(cut("äöü", 2), "äö");
    }
}
