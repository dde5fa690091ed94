//! The last part of what a process wrote to a stream, and what of it an error message shows.

use std::collections::VecDeque;

/// The limits of the stored part of a stream, and of a line.
pub const LIMIT: usize = 64 << 10;
/// The minimum number of lines shown.
const SHOWN: usize = 20;

/// The last lines of a stream, up to a bound in bytes.
#[derive(Debug, Default)]
pub struct StderrTail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl StderrTail {
    pub fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > LIMIT && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// The lines to show: the last ones, extended to a complete stack trace. Which line of a trace
/// names the failing location differs between languages.
pub fn shown<T: AsRef<str>>(lines: &[T]) -> &[T] {
    let last = lines.len().saturating_sub(SHOWN);
    let of_trace = (0..last).rev().take_while(|index| is_of_trace(lines, *index)).count();
    // some runtimes print a header line above it
    let head = usize::from(of_trace > 0 && of_trace < last);
    &lines[last - of_trace - head..]
}

/// A stack trace has indented lines, lines that introduce those, and empty ones between its parts.
fn is_of_trace<T: AsRef<str>>(lines: &[T], index: usize) -> bool {
    let is_inner =
        |line: &T| line.as_ref().trim().is_empty() || line.as_ref().starts_with([' ', '\t']);
    is_inner(&lines[index]) || lines.get(index + 1).is_some_and(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_kept_within_the_bound() {
        let mut words = StderrTail::default();
        for number in 0..10_000 {
            words.push(format!("{number:0>15}"));
        }
        let lines = words.lines();
        assert_eq!(
            (lines.len(), lines.last().map(String::as_str)),
            (LIMIT / 16, Some("000000000009999"))
        );
        words.push("x".repeat(LIMIT));
        assert_eq!(words.lines().len(), 1, "one long line is kept whole");
    }

    /// The lines shown of 100 log lines followed by a stack trace.
    fn shown_of(trace: &[&str]) -> Vec<String> {
        let log = (0..100).map(|number| format!("log line {number}"));
        let lines: Vec<_> = log.chain(trace.iter().map(|line| (*line).to_owned())).collect();
        shown(&lines).to_vec()
    }

    #[test]
    fn a_stack_trace_is_shown_whole() {
        let check = |head: &str, frame: &[&str], end: &str| {
            let trace = [&[head], frame.repeat(30).as_slice(), &[end]].concat();
            let shown = shown_of(&trace);
            assert!(
                shown.len() <= trace.len() + 1
                    && shown.ends_with(
                        &trace.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()
                    ),
                "{shown:?}"
            );
        };
        check(
            "Traceback (most recent call last):",
            &["  File \"a.py\", line 1, in f", "    g()"],
            "KeyError: 'x'",
        );
        check("Error: x", &["    at f (a.js:1:1)"], "Node.js v20");
        check("goroutine 1 [running]:", &["main.f(...)", "\t/a.go:12 +0x1"], "exit status 2");
        let log = shown_of(&[]);
        assert_eq!((log.len(), log[0].as_str()), (SHOWN, "log line 80"), "log lines are no trace");
    }
}
