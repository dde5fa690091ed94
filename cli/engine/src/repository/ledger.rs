//! The ledger of the gate: a record of the repository (see `records`), so that it is cloned and
//! pushed with the repository.
//!
//! It holds `ledger.jsonl`, one line per attempt. A line is durable before its decision takes
//! effect. Each version names the commit of the ledger it was made with, so a clone detects missing
//! attempts and does not judge: their levels would be spent twice.

use crate::repository::error::RepositoryError;
use crate::repository::lack::{Lack, Problem};
use crate::repository::records::{Record, View};
use crate::world::clock;
use crate::world::git::{Git, RecordEdit, TreeEdit};
use agent_core::formats::committed::Committed;
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::object_id::ObjectId;
use agent_core::gate::ledger::{CandidateTest, Entry, Ledger, SCHEMA};
use agent_core::gate::{Comparison, GateVerdict, Level};
use agent_core::testing::evaluation::Verdict;
use agent_core::version::record_refs::{OWN, PEERS, REMOTES, SHARED};
use agent_core::version::tag;
use std::time::Duration;

const FILE: &str = "ledger.jsonl";
/// A remote that does not list its refs within this time counts as unreachable.
const ANSWER: Duration = Duration::from_secs(10);

pub const RECORD: Record =
    Record { name: "ledger", join, named: Some(|trailers| trailers.ledger.as_ref()) };

fn join(path: &str, one: Vec<u8>, other: Vec<u8>) -> Result<Vec<u8>, RepositoryError> {
    if path != FILE {
        return Ok(one.max(other));
    }
    Ok(parse(one, path)?.join(&parse(other, path)?).to_text().into_bytes())
}

fn parse(bytes: Vec<u8>, origin: &str) -> Result<Ledger, RepositoryError> {
    let text = String::from_utf8(bytes)
        .map_err(|_| RepositoryError::NotUtf8 { origin: origin.to_owned() })?;
    Ok(Ledger::parse(&text, origin)?)
}

fn of_view(view: &View<'_>) -> Result<Ledger, RepositoryError> {
    parse(view.read(FILE)?.unwrap_or_default(), &format!("{}:{FILE}", view.origin()))
}

pub struct LedgerRef<'a> {
    git: &'a Git,
}

impl<'a> LedgerRef<'a> {
    pub const fn new(git: &'a Git) -> Self {
        Self { git }
    }

    /// Judges a comparison at the ledger's next level; a comparison that needs no test is not
    /// charged.
    pub fn judge(
        &self,
        comparison: &Comparison,
        asked: &CandidateTest,
        state: &ObjectId,
        alpha: f64,
    ) -> Result<Committed<GateVerdict>, RepositoryError> {
        if !comparison.is_tested() {
            return Ok(Committed::whole(comparison.judged(Level { value: alpha, index: None })));
        }
        let mut entry = None;
        let recorded = RECORD.edit(self.git, |view| {
            let ledger = of_view(view)?;
            if let Some(there) = ledger.of(asked) {
                entry = Some(there.clone());
                return Ok(None);
            }
            let level = ledger.next(alpha, self.discoveries(&ledger, &asked.baseline)?);
            let new = new_entry(comparison, asked.clone(), state, alpha, level);
            let subject = format!(
                "gate: test {}, {}",
                new.index,
                if new.accepted { "accepted" } else { "not accepted" }
            );
            let text = ledger.with(new.clone()).to_text();
            entry = Some(new);
            Ok(Some((subject, vec![(FILE.to_owned(), text.into_bytes())])))
        })?;
        Ok(recorded.map(|()| comparison.judged(entry.expect("it was found or added").level())))
    }

    /// All that the refs of this clone have; `None` where there is no ledger.
    pub fn whole(&self) -> Result<Option<Ledger>, RepositoryError> {
        if self.git.record_heads(RECORD.name)?.is_empty() {
            return Ok(None);
        }
        of_view(&RECORD.view_of_refs(self.git)?).map(Some)
    }

    /// D: how many versions up to this one an accepted attempt made. An attempt that was accepted
    /// in another clone and did not become a version here is no discovery.
    pub fn discoveries(
        &self,
        ledger: &Ledger,
        baseline: &ObjectId,
    ) -> Result<u64, RepositoryError> {
        if !ledger.has_discoveries() {
            return Ok(0);
        }
        for commit in self.git.first_parents(baseline) {
            let commit = commit?;
            let Some(base) = &commit.trailers.base else { break };
            if let Some(discoveries) = ledger.discoveries_with(base, &commit.tree) {
                return Ok(discoveries);
            }
        }
        Ok(0)
    }

    /// Refuses where attempts are missing that a version or this clone recorded.
    pub fn expect_whole(&self) -> Result<(), RepositoryError> {
        match self.lack()?.map_or_else(|| self.never_fetched(), |lack| Ok(Some(lack)))? {
            Some(lack) => Err(RepositoryError::LedgerLacks { hint: lack.hint(self.git), lack }),
            None => Ok(()),
        }
    }

    /// The ledger of a remote, where there is no local evidence of one: no version names it, and it
    /// was never fetched. An unreachable remote counts as having none.
    fn never_fetched(&self) -> Result<Option<Lack>, RepositoryError> {
        let Some(remote) = self.git.remotes().into_iter().next() else { return Ok(None) };
        let is_fetched = !self.git.references(&format!("{REMOTES}{remote}/"))?.is_empty();
        if is_fetched || !self.git.record_heads(RECORD.name)?.is_empty() {
            return Ok(None);
        }
        let places = [SHARED.to_owned(), format!("{SHARED}{PEERS}*/"), format!("{OWN}*/")];
        let there = self.git.remote_refs_within(
            ANSWER,
            &remote,
            &places.map(|place| format!("{place}{}", RECORD.name)),
        );
        let commit = there.and_then(|there| there.into_values().next());
        Ok(commit.map(|commit| Lack {
            source: format!("{remote} has"),
            commit,
            problem: Problem::Absent,
        }))
    }

    /// What is missing of the ledger that the versions of `active` name, and of what this clone
    /// itself has added to it.
    pub fn lack(&self) -> Result<Option<Lack>, RepositoryError> {
        let known = self.known_commits()?;
        let heads = self.git.record_heads(RECORD.name)?;
        if known.iter().all(|(_, commit)| heads.len() == 1 && heads.contains_key(commit)) {
            return Ok(None);
        }
        let ledger = RECORD.view_of_refs(self.git).and_then(|view| of_view(&view));
        for (source, commit) in known {
            let problem = match (self.git.is_commit(&commit), &ledger) {
                (false, _) => Some(Problem::Absent),
                (true, Err(error)) => Some(Problem::Unreadable(error.messages().join(": "))),
                (true, Ok(ledger)) => Some(ledger.lacks(&self.at(&commit)?))
                    .filter(|missing| *missing > 0)
                    .map(Problem::Missing),
            };
            if let Some(problem) = problem {
                return Ok(Some(Lack { source, commit, problem }));
            }
        }
        Ok(None)
    }

    /// The commits of the ledger known to have existed, each with its evidence.
    fn known_commits(&self) -> Result<Vec<(String, ObjectId)>, RepositoryError> {
        let named = RECORD.named_by_active(self.git)?;
        let named = named.and_then(|(version, head)| {
            Some((format!("{} was made with", tag(&version)), head.commit()?.clone()))
        });
        let remembered = self
            .git
            .remembered_head(RECORD.name)?
            .map(|commit| ("this clone wrote".to_owned(), commit));
        Ok(named.into_iter().chain(remembered).collect())
    }

    fn at(&self, commit: &ObjectId) -> Result<Ledger, RepositoryError> {
        parse(
            self.git.read(commit, FILE)?.unwrap_or_default(),
            &format!("{}:{FILE}", commit.short()),
        )
    }

    /// Restores missing attempts that still exist in this clone; returns their number.
    pub fn restore(&self) -> Result<Committed<usize>, RepositoryError> {
        let known: Vec<_> = self
            .known_commits()?
            .into_iter()
            .map(|(_, commit)| commit)
            .filter(|commit| self.git.is_commit(commit))
            .collect();
        let mut restored = 0;
        let edited = self.git.edit_record(RECORD.name, || {
            let heads: Vec<_> = self.git.record_heads(RECORD.name)?.into_keys().collect();
            // a new commit on top of a damaged head supersedes it
            let readable = |commits: &[ObjectId]| {
                let ledgers = commits.iter().filter_map(|commit| self.at(commit).ok());
                ledgers.fold(Ledger::default(), |whole, ledger| whole.join(&ledger))
            };
            let here = readable(&heads);
            let whole = here.join(&readable(&known));
            restored = here.lacks(&whole);
            if restored == 0 && heads.iter().all(|head| self.at(head).is_ok()) {
                return Ok(None);
            }
            let edit = TreeEdit::file(FILE, self.git.write_blob(whole.to_text().as_bytes())?);
            Ok::<_, RepositoryError>(Some(RecordEdit {
                subject: "gate: missing attempts restored".to_owned(),
                heads,
                edits: vec![edit],
            }))
        })?;
        Ok(edited.map(|_| restored))
    }

    /// A summary in one line.
    pub fn shown(&self) -> Result<String, RepositoryError> {
        let ledger = of_view(&RECORD.view(self.git)?)?;
        if ledger.is_empty() {
            return Ok("no attempt has been charged yet".to_owned());
        }
        let spent = ledger.spent() * 100.0;
        Ok(format!("{} attempts, which have used {spent:.0} % of alpha", ledger.count()))
    }
}

fn new_entry(
    comparison: &Comparison,
    asked: CandidateTest,
    state: &ObjectId,
    alpha: f64,
    level: Level,
) -> Entry {
    let judged = comparison.judged(level);
    Entry {
        schema: SCHEMA.to_owned(),
        index: level.index.expect("the ledger counts"),
        at: clock::rfc3339(clock::now()),
        test: asked,
        state: state.clone(),
        alpha,
        level: level.value,
        log_e_value: judged.log_e_value,
        p_value: judged.p_value,
        accepted: judged.verdict == Verdict::Pass,
    }
}
