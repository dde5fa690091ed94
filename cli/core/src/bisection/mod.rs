//! The point of a history at which a case stopped passing: a binary search that uses known results
//! before it requests a run.

pub mod code_difference;
pub mod difference;

mod report;

pub use report::{Bisection, Commit, How, Probe, SCHEMA, Signal};

/// The result at a point of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PointOutcome {
    /// The case is not there yet.
    Absent,
    Passed,
    Failed,
}

/// Whether a probe may run the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Only at what is known already.
    Known,
    /// Run it if it is not known.
    Run,
}

/// The outcome of a search; points are numbered from the oldest, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// It passed at `good`, and fails at the very next point.
    Broke { good: usize, bad: usize },
    /// It passes at the last point: nothing is broken.
    NeverBad,
    /// It fails from the first point that has it.
    NeverGood { first: usize },
    /// The last point has no such case.
    Unknown,
}

/// Finds where a history of `length` points, of which the last is the bad one, went bad.
///
/// `probe` returns `None` only where it may not run. With `good` the search starts there. Without,
/// it probes known results backwards in doubling steps for a point that passed, then falls back on
/// the oldest one. In a history that alternates it finds one of the changes from good to bad. It
/// probes at most two points per doubling of the length, plus four.
pub fn search<E>(
    length: usize,
    good: Option<usize>,
    mut probe: impl FnMut(usize, Effort) -> Result<Option<PointOutcome>, E>,
) -> Result<Conclusion, E> {
    let mut bad = length - 1;
    match run(bad, &mut probe)? {
        PointOutcome::Absent => return Ok(Conclusion::Unknown),
        PointOutcome::Passed => return Ok(Conclusion::NeverBad),
        PointOutcome::Failed => {}
    }
    let mut low = match good {
        Some(good) => (good, run(good, &mut probe)?),
        None => lower_end(&mut bad, &mut probe)?,
    };
    if low.1 == PointOutcome::Failed {
        return Ok(Conclusion::NeverGood { first: low.0 });
    }
    while bad - low.0 > 1 {
        let middle = low.0 + (bad - low.0) / 2;
        match run(middle, &mut probe)? {
            PointOutcome::Failed => bad = middle,
            seen => low = (middle, seen),
        }
    }
    Ok(if low.1 == PointOutcome::Passed {
        Conclusion::Broke { good: low.0, bad }
    } else {
        Conclusion::NeverGood { first: bad }
    })
}

/// Backwards in doubling steps to a known point that is not bad, updating `bad`. The oldest point
/// is run when none is known.
fn lower_end<E>(
    bad: &mut usize,
    probe: &mut impl FnMut(usize, Effort) -> Result<Option<PointOutcome>, E>,
) -> Result<(usize, PointOutcome), E> {
    let last = *bad;
    let mut step = 1;
    while step < last {
        match probe(last - step, Effort::Known)? {
            Some(PointOutcome::Failed) => *bad = last - step,
            Some(seen) => return Ok((last - step, seen)),
            None => {}
        }
        step *= 2;
    }
    if last == 0 {
        return Ok((0, PointOutcome::Failed));
    }
    Ok((0, run(0, probe)?))
}

fn run<E>(
    point: usize,
    probe: &mut impl FnMut(usize, Effort) -> Result<Option<PointOutcome>, E>,
) -> Result<PointOutcome, E> {
    probe(point, Effort::Run).map(|seen| seen.expect("what may be run is seen"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// `history` in one letter a point: `-` absent, `p` passed, `f` failed; capital letters are
    /// known without a run.
    fn searched(history: &str, good: Option<usize>) -> (Conclusion, BTreeSet<usize>, usize) {
        let (mut looked, mut runs) = (BTreeSet::new(), 0);
        let conclusion = search::<()>(history.len(), good, |point, effort| {
            let letter = history.as_bytes()[point];
            looked.insert(point);
            if effort == Effort::Known && !letter.is_ascii_uppercase() {
                return Ok(None);
            }
            runs += usize::from(!letter.is_ascii_uppercase());
            Ok(Some(match letter.to_ascii_lowercase() {
                b'-' => PointOutcome::Absent,
                b'p' => PointOutcome::Passed,
                _ => PointOutcome::Failed,
            }))
        });
        (conclusion.unwrap(), looked, runs)
    }

    #[track_caller]
    fn check(history: &str, expected: Conclusion) {
        assert_eq!(searched(history, None).0, expected, "{history}");
    }

    #[test]
    fn every_kind_of_history_reaches_a_conclusion() {
        check("pppff", Conclusion::Broke { good: 2, bad: 3 });
        check("PPPFF", Conclusion::Broke { good: 2, bad: 3 });
        check("pf", Conclusion::Broke { good: 0, bad: 1 });
        check("--ppf", Conclusion::Broke { good: 3, bad: 4 });
        check("fffff", Conclusion::NeverGood { first: 0 });
        check("---ff", Conclusion::NeverGood { first: 3 });
        check("f", Conclusion::NeverGood { first: 0 });
        check("p", Conclusion::NeverBad);
        check("ppppp", Conclusion::NeverBad);
        check("pppp-", Conclusion::Unknown);
        // broken twice: the search finds the later break, which is the nearer one
        check("PPFFPPFF", Conclusion::Broke { good: 5, bad: 6 });
    }

    #[test]
    fn named_good_commit_starts_the_search() {
        assert_eq!(searched("ppffppff", Some(4)).0, Conclusion::Broke { good: 5, bad: 6 });
        assert_eq!(searched("pppfff", Some(3)).0, Conclusion::NeverGood { first: 3 });
    }

    #[test]
    fn known_results_are_not_run_again() {
        let (conclusion, _, runs) = searched("pPpFfF", None);
        assert_eq!((conclusion, runs), (Conclusion::Broke { good: 2, bad: 3 }, 1));
    }

    proptest! {
        #[test]
        fn search_takes_logarithmically_many_probes(
            passing in 1usize..2000,
            failing in 1usize..2000,
            known in any::<bool>(),
        ) {
            let letters = if known { ["P", "F"] } else { ["p", "f"] };
            let history = letters[0].repeat(passing) + &letters[1].repeat(failing);
            let (conclusion, looked, runs) = searched(&history, None);
            prop_assert_eq!(conclusion, Conclusion::Broke { good: passing - 1, bad: passing });
            let doublings = usize::BITS as usize - history.len().leading_zeros() as usize;
            prop_assert!(looked.len() <= 2 * doublings + 4, "{} probes", looked.len());
            prop_assert!(runs <= doublings + 2 && (runs == 0) == known, "{runs} runs");
        }
    }
}
