//! Gathers the evidence of versions from git and the object store; core judges it.
//!
//! One version is held at a time, with the results of the one before it, however many there are.

mod judges;
mod kept;
mod rerun;

use crate::error::Failure;
use crate::repository::ledger::LedgerRef;
use crate::repository::records::INBOX;
use crate::repository::{Repository, state_value};
use crate::verification::judges::JudgesByTree;
use crate::verification::kept::Evidence;
use crate::versions::evaluators;
use crate::world::git::{CommitInfo, Integrity, STATE_FILE, tag_ref};
use agent_core::architect::evaluators::Effect;
use agent_core::architect::feedback::Feedback;
use agent_core::formats::canonical;
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::manifest::{Gated, Manifest, Tier};
use agent_core::formats::object_id::ObjectId;
use agent_core::gate::ledger::Ledger;
use agent_core::gate::record::Record;
use agent_core::verification::figures::Results;
use agent_core::verification::history::{BranchReport, Chain};
use agent_core::verification::{Base, Check, Facts, Judges, Report, Source, Status, verify};
use agent_core::version::Kind;
use agent_core::version::trailers::is_unattended;
use semver::Version;
use serde::Serialize;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A version and the commit to verify as that version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub version: Version,
    pub commit: ObjectId,
}

/// What concerns no version alone.
#[derive(Debug, Serialize)]
pub struct RepositoryReport {
    pub status: Status,
    pub checks: Vec<Check>,
}

pub struct Verifier<'a> {
    repository: &'a Repository,
    chains: Vec<Chain>,
    /// Chain and place of each commit on a served branch.
    places: HashMap<ObjectId, (usize, usize)>,
    integrity: Integrity<'a>,
    judges: JudgesByTree<'a>,
    kept: kept::Reader<'a>,
    ledger: OnceCell<Option<Result<Arc<Ledger>, String>>>,
}

impl<'a> Verifier<'a> {
    pub fn new(repository: &'a Repository) -> Result<Self, Failure> {
        let chains = repository.git.chains()?;
        let mut places = HashMap::new();
        for (number, chain) in chains.iter().enumerate() {
            for (position, link) in chain.links.iter().enumerate() {
                places.entry(link.commit.clone()).or_insert((number, position));
            }
        }
        Ok(Self {
            repository,
            chains,
            places,
            integrity: Integrity::new(&repository.git)?,
            judges: JudgesByTree::new(repository),
            kept: kept::Reader::new(repository),
            ledger: OnceCell::new(),
        })
    }

    /// The served branches, as wholes.
    pub fn branches(&self) -> Vec<BranchReport> {
        self.chains.iter().map(Chain::verify).collect()
    }

    /// The branches' own versions without a tag, newest first, to be tagged again.
    pub fn untagged(&self) -> Vec<(Version, ObjectId)> {
        let links =
            self.chains.iter().flat_map(|chain| &chain.links).filter(|link| link.tagged.is_none());
        links.map(|link| (link.version().clone(), link.commit.clone())).collect()
    }

    /// Every version of the branches, newest first, and every tag that names another commit than
    /// these.
    pub fn all(&self) -> Result<Vec<Subject>, Failure> {
        let mut seen = BTreeSet::new();
        let links = self
            .chains
            .iter()
            .flat_map(|chain| &chain.links)
            .filter(|link| seen.insert(&link.commit));
        let mut all: Vec<Subject> = links
            .map(|link| Subject { version: link.version().clone(), commit: link.commit.clone() })
            .collect();
        let ours: BTreeSet<(Version, ObjectId)> =
            all.iter().map(|subject| (subject.version.clone(), subject.commit.clone())).collect();
        for version in self.repository.git.versions()?.into_iter().rev() {
            // an unreadable tag is checked separately
            let Ok(Some(commit)) = self.repository.git.version_commit(&version) else { continue };
            if !ours.contains(&(version.clone(), commit.clone())) {
                all.push(Subject { version, commit });
            }
        }
        Ok(all)
    }

    /// What concerns no version alone; reads every pack.
    pub fn repository_report(&self) -> Result<RepositoryReport, Failure> {
        let git = &self.repository.git;
        let wrong = |check, message| Check { check, status: Status::Wrong, message };
        let mut checks: Vec<Check> = git
            .garbled_tags()?
            .into_iter()
            .map(|tag| wrong("tags", format!("refs/tags/{tag} cannot be read")))
            .collect();
        checks.extend(git.damaged_tags()?.into_iter().map(|(name, why)| {
            wrong("tags", format!("the tag object of {name} is damaged: {why}"))
        }));
        let shown = |path: &std::path::PathBuf| {
            path.strip_prefix(git.common_dir()).unwrap_or(path).display().to_string()
        };
        checks.extend(
            git.damaged_packs()?
                .iter()
                .map(|path| wrong("packs", format!("{} does not match its checksum", shown(path)))),
        );
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
        Ok(RepositoryReport { status, checks })
    }

    /// One version, checked; whatever cannot be read is a finding and no error, unless the store
    /// does not answer.
    pub fn verify(&mut self, subject: &Subject) -> Result<Report, Failure> {
        let commit = match self.repository.git.commit(&subject.commit) {
            Ok(commit) => commit,
            Err(error) => {
                let why = Failure::from(error).messages.join(": ");
                return Ok(Report::unreadable(&subject.version, &subject.commit, &why));
            }
        };
        Ok(verify(&self.facts(&subject.version, commit)?))
    }

    fn facts(&mut self, version: &Version, commit: CommitInfo) -> Result<Facts, Failure> {
        let git = &self.repository.git;
        let objects = self.integrity.of_commit(&commit.id, &commit.tree);
        let chain =
            self.places.get(&commit.id).map(|(chain, position)| (&self.chains[*chain], *position));
        let is_rollback = commit.trailers.kind == Some(Kind::Rollback);
        let branch = chain.map(|(chain, _)| chain.branch.clone());
        let restored =
            chain.filter(|_| is_rollback).map(|(chain, position)| chain.restored(position));
        let recorded_before =
            chain.and_then(|(chain, position)| chain.recorded_before(position).cloned());
        let ledger_named_before =
            chain.and_then(|(chain, position)| chain.ledger_named_before(position).cloned());
        let kept = self.kept.of(&commit)?;
        let base = self.base(&commit)?;
        let manifest = self.repository.manifest(&commit.id).ok();
        let record = kept
            .record
            .as_deref()
            .and_then(|bytes| Record::from_bytes(bytes).ok())
            .map(|(record, _)| record);
        let mut tiers: BTreeSet<Tier> =
            kept.results.keys().copied().chain(kept.tiers.iter().copied()).collect();
        tiers.extend(record.iter().map(|record| record.gated.tier));
        let before = match record
            .as_ref()
            .and_then(|record| record.compared.as_ref()?.before.as_ref().map(|_| record.gated.tier))
        {
            Some(tier) => self.kept.before(&commit)?.map(|bytes| Results::of(tier, &bytes)),
            None => None,
        };
        Ok(Facts {
            version: version.clone(),
            tagged: git.reference(&tag_ref(version)).unwrap_or_default(),
            branch,
            is_shallow: git.is_shallow(),
            objects,
            state: git.entry(&commit.id, STATE_FILE).ok().flatten().map(|entry| entry.id),
            changed: self.changed(&commit),
            source: self.source(&commit),
            restored,
            recorded_before,
            ledger_named_before,
            discoveries: self.discoveries(record.as_ref()),
            gated: self.gated(&commit, manifest.as_ref()),
            own: self.judges_of(&evaluators::judged_by(git, &commit)?, &tiers),
            evaluators: self.evaluators(&commit, base.as_ref()),
            evaluation: kept.evaluation.clone(),
            results: kept.results.clone(),
            before,
            record: kept.record.clone(),
            ledger: self.ledger(),
            journal: self.kept.journal(&commit)?,
            feedback: self.in_inbox(&commit.trailers.feedback)?,
            base,
            tree: commit.tree,
            parents: commit.parents,
            trailers: commit.trailers,
            commit: commit.id,
        })
    }

    fn judges_of(&mut self, commit: &ObjectId, tiers: &BTreeSet<Tier>) -> Judges {
        let manifest = self.repository.manifest(commit).ok();
        self.judges.of(commit, manifest.as_ref(), tiers)
    }

    fn changed(&self, commit: &CommitInfo) -> Vec<String> {
        let git = &self.repository.git;
        let parent = commit.parents.first().filter(|parent| git.exists(parent));
        // an unreadable tree is reported by the check of its objects
        git.diff(parent, &commit.id)
            .unwrap_or_default()
            .into_iter()
            .map(|change| change.path)
            .collect()
    }

    /// Its predecessor, with the inputs of the gate.
    fn base(&mut self, commit: &CommitInfo) -> Result<Option<Base>, Failure> {
        let git = &self.repository.git;
        let Some(parent) = commit.parents.first().and_then(|parent| git.commit(parent).ok()) else {
            return Ok(None);
        };
        let Some((_, version)) = parent.trailers.as_version() else { return Ok(None) };
        let state = git.entry(&parent.id, STATE_FILE).ok().flatten().map(|entry| entry.id);
        let value = git
            .read(&parent.id, STATE_FILE)
            .ok()
            .flatten()
            .and_then(|bytes| state_value(&bytes, STATE_FILE).ok());
        let kept: Evidence = self.kept.of(&parent)?;
        Ok(Some(Base {
            version: version.clone(),
            state,
            canonical: value.map(|value| canonical::revision(&value)),
            judges: self.judges_of(
                &evaluators::judging_on(git, &parent.id)?,
                &Tier::ALL.into_iter().collect(),
            ),
            results: kept.named_results(),
        }))
    }

    /// The requirements in the judging manifest for a version's kind: for a promotion the manifest
    /// of its base, for a release its own.
    fn gated(&self, commit: &CommitInfo, own: Option<&Manifest>) -> Option<Gated> {
        match commit.trailers.kind? {
            Kind::Promotion => {
                Some(self.repository.manifest(commit.parents.first()?).ok()?.promote.gated())
            }
            Kind::Release => own.map(|manifest| manifest.release.clone()),
            // it has the evidence of the version it restores
            Kind::Rollback => None,
        }
    }

    fn source(&self, commit: &CommitInfo) -> Option<Source> {
        let git = &self.repository.git;
        let source = match (commit.trailers.kind?, commit.parents.as_slice()) {
            (Kind::Release, [_, source]) if commit.trailers.base.is_some() => source,
            (Kind::Release, [source]) if commit.trailers.base.is_none() => source,
            _ => return None,
        };
        let differing = git
            .diff(Some(source), &commit.id)
            .ok()?
            .into_iter()
            .map(|change| change.path)
            .filter(|path| path != STATE_FILE);
        Some(Source {
            commit: source.clone(),
            differing: differing.collect(),
            changes_state: self.changes_state(commit, source),
        })
    }

    /// Whether the source of a release has another state, schema or migration than where it parted
    /// from what was served.
    fn changes_state(&self, commit: &CommitInfo, source: &ObjectId) -> bool {
        let git = &self.repository.git;
        let Some(base) = commit.parents.first() else { return true };
        let in_state = |from: &ObjectId| {
            git.diff(Some(from), source)
                .is_ok_and(|changes| changes.iter().any(|change| change.path.starts_with("state/")))
        };
        let parted = git.merge_base(base, source).ok().flatten();
        // a schema is compared with the one that is served, a state with the one both began from
        let schema_changed = git.diff(Some(base), source).is_ok_and(|changes| {
            changes
                .iter()
                .any(|change| change.path.starts_with("state/") && change.path != STATE_FILE)
        });
        schema_changed || parted.is_none_or(|parted| in_state(&parted))
    }

    /// The evaluator changes of a version without a maintainer's decision.
    fn evaluators(
        &self,
        commit: &CommitInfo,
        base: Option<&Base>,
    ) -> Option<Result<Effect, String>> {
        if !is_unattended(commit.trailers.coder.as_deref()) || base.is_none() {
            return None;
        }
        let effect = evaluators::between(self.repository, commit.parents.first()?, &commit.id);
        Some(effect.map_err(|error| error.messages.join(": ")))
    }

    fn ledger(&self) -> Option<Result<Arc<Ledger>, String>> {
        let read = || {
            let read = LedgerRef::new(&self.repository.git).whole().transpose()?;
            Some(read.map(Arc::new).map_err(|error| error.messages().join(": ")))
        };
        self.ledger.get_or_init(read).clone()
    }

    fn in_inbox(&self, items: &[String]) -> Result<Vec<String>, Failure> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let inbox = INBOX.view(&self.repository.git)?;
        let mut found = Vec::new();
        for item in items {
            // one that cannot be read is not there
            let path = format!("items/{item}.json");
            let stored = inbox
                .read(&path)
                .ok()
                .flatten()
                .filter(|bytes| Feedback::parse(bytes, &path).is_ok());
            found.extend(stored.map(|_| item.clone()));
        }
        Ok(found)
    }

    /// The number of versions up to the baseline made by an accepted attempt; computed only where
    /// an attempt is named.
    fn discoveries(&self, record: Option<&Record>) -> Option<u64> {
        let compared = record?.compared.as_ref()?;
        compared.verdict.ledger?;
        let ledger = self.ledger()?.ok()?;
        LedgerRef::new(&self.repository.git).discoveries(&ledger, &compared.baseline).ok()
    }
}

impl Repository {
    /// The commit to verify as a version: a branch's tip itself, and the target of a tag.
    pub fn subject(
        &self,
        what: &agent_core::version::what::What,
    ) -> Result<Option<Subject>, Failure> {
        use agent_core::version::what::What;
        let commit = match what {
            What::Active => match self.git.reference(crate::world::git::ACTIVE)? {
                Some(tip) => tip,
                None => return Err(self.nothing_served().into()),
            },
            What::Version(version) => {
                return Ok(Some(Subject {
                    version: version.clone(),
                    commit: self.commit_of(version)?,
                }));
            }
            other => self.commit_named(other)?,
        };
        let version = self.git.commit(&commit).ok().and_then(|commit| commit.trailers.version);
        Ok(version.map(|version| Subject { version, commit }))
    }
}
