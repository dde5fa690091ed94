//! Annotations of GitHub Actions: failed cases, at their file and line. GitHub reads the commands
//! from stderr as well as from stdout.

use crate::report::{TierReport, why};
use agent_core::testing::case_result::CaseResult;

/// GitHub shows at most ten errors of a step.
const SHOWN: usize = 10;

pub fn render(reports: &[TierReport]) -> Vec<String> {
    let failures: Vec<_> = reports
        .iter()
        .flat_map(|report| report.failures().into_iter().map(move |result| (report, result)))
        .collect();
    let mut lines: Vec<_> =
        failures.iter().take(SHOWN).map(|(report, result)| error(report, result)).collect();
    if failures.len() > SHOWN {
        lines.push(format!(
            "::notice title=agent test::and {} more cases did not pass",
            failures.len() - SHOWN
        ));
    }
    lines
}

fn error(report: &TierReport, result: &CaseResult) -> String {
    let place = result.place.as_deref().and_then(|place| place.rsplit_once(':'));
    let place = place
        .map(|(file, line)| format!("file={},line={line},", property(file)))
        .unwrap_or_default();
    let title = property(&format!("{}: {}", report.tier, result.id));
    format!("::error {place}title={title}::{}", message(&why::whole(result)))
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn text_of_cases_cannot_contain_a_workflow_command() {
        let mut report = sample();
        report.results[0].outcome = agent_core::testing::case_result::Outcome::Failed;
        report.results[0].id = "50%, a: b".to_owned();
        report.results[0].why = Some("one\n::set-env name=PATH::x".to_owned());
        let lines = render(&[report]);
        assert_eq!(lines[0], "::error title=micro%3A c::the Runner died");
        assert_eq!(
            lines[1],
            "::error file=tests/micro/a.jsonl,line=1,title=micro%3A 50%25%2C a%3A \
            b::one%0A::set-env name=PATH::x"
        );
        assert!(lines.iter().all(|line| !line.contains('\n')));
    }

    #[test]
    fn annotations_are_limited_to_what_github_shows() {
        let mut report = sample();
        let failure = report.results[1].clone();
        report.results = (0..25)
            .map(|number| CaseResult { id: format!("c{number}"), ..failure.clone() })
            .collect();
        let lines = render(&[report]);
        assert_eq!(
            (lines.len(), lines[10].as_str()),
            (11, "::notice title=agent test::and 15 more cases did not pass")
        );
    }
}
