//! `JUnit` XML, as CI systems read it: a suite for each tier.

use crate::report::{TierReport, markup, why};
use agent_core::testing::case_result::{CaseResult, Outcome};
use std::fmt::Write as _;

pub fn render(reports: &[TierReport]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let summary = &report.summary;
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\"{} time=\"{:.3}\">",
            report.tier,
            summary.cases + summary.quarantined,
            summary.failed,
            summary.errored,
            if summary.quarantined > 0 {
                format!(" skipped=\"{}\"", summary.quarantined)
            } else {
                String::new()
            },
            summary.wall_s
        );
        for result in &report.results {
            case(&mut xml, report.tier.as_str(), result);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn case(xml: &mut String, tier: &str, result: &CaseResult) {
    let file = result
        .place
        .as_deref()
        .and_then(|place| place.rsplit_once(':'))
        .map(|(file, line)| format!(" file=\"{}\" line=\"{line}\"", escaped(file)));
    let _ = write!(
        xml,
        "    <testcase classname=\"{tier}\" name=\"{}\" time=\"{:.6}\"{}",
        escaped(&result.id),
        result.ms / 1000.0,
        file.unwrap_or_default()
    );
    if let Some(quarantine) = result.quarantine.as_ref().filter(|_| result.quarantined) {
        let message =
            escaped(&format!("in quarantine until {}: {}", quarantine.until, quarantine.why));
        let _ = writeln!(xml, "><skipped message=\"{message}\"/></testcase>");
        return;
    }
    let why = escaped(&why::whole(result));
    let message = why.lines().next().unwrap_or_default();
    let _ = match result.outcome {
        Outcome::Passed => writeln!(xml, "/>"),
        Outcome::Failed => {
            writeln!(xml, "><failure message=\"{message}\">{why}</failure></testcase>")
        }
        Outcome::Errored => writeln!(xml, "><error message=\"{message}\">{why}</error></testcase>"),
    };
}

/// Escapes text and attributes; characters that XML 1.0 does not allow become a question mark.
fn escaped(text: &str) -> String {
    let has_no_place = |character| {
        matches!(character, '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
            && !matches!(character, '\t' | '\n' | '\r')
    };
    markup::escaped(&text.replace(has_no_place, "?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{not_enough_evidence, sample};

    #[test]
    fn quarantined_cases_are_skipped() {
        let xml = render(&[not_enough_evidence()]);
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(
            xml.contains(
                "name=\"a\" time=\"0.000000\"><skipped message=\"in quarantine until \
                2027-01-31: the network\"/></testcase>"
            ),
            "{xml}"
        );
    }

    #[test]
    fn a_suite_for_each_tier() {
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
  <testsuite name=\"micro\" tests=\"3\" failures=\"1\" errors=\"1\" time=\"1.500\">
    <testcase classname=\"micro\" name=\"a\" time=\"0.002000\" file=\"tests/micro/a.jsonl\" line=\"1\"/>
    <testcase classname=\"micro\" name=\"b &lt;&amp;&gt;\" time=\"0.000000\"><failure message=\"$.x: expected &quot;1&quot;?\">$.x: expected &quot;1&quot;?
second | line</failure></testcase>
    <testcase classname=\"micro\" name=\"c\" time=\"0.000000\"><error message=\"the Runner died\">the Runner died</error></testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(render(&[sample()]), expected);
    }
}
