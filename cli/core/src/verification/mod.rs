//! The evidence of a version, checked again: every link of the chain from its tag to its tests.
//!
//! `tip` is the cheap part that every served or judged version has to pass; `history` checks a
//! branch; `figures` folds stored results again; `decision` recomputes the gate's decision; `rerun`
//! compares new runs.

mod decision;
pub mod figures;
pub mod history;
pub mod rerun;
pub mod tip;

use crate::architect::evaluators::Effect;
use crate::formats::canonical;
use crate::formats::diagnose::FailureKind;
use crate::formats::manifest::{Gated, Tier};
use crate::formats::object_id::{ObjectId, digest};
use crate::gate::ledger::Ledger;
use crate::gate::record::{Record, StoredPairs};
use crate::state::journal;
use crate::testing::evaluation::{Evaluation, TierSummary};
use crate::version::legality::STATE_FOLDER;
use crate::version::trailers::Trailers;
use crate::version::{Kind, tag as tag_of};
use figures::{Judge, Results};
use history::Restored;
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const SCHEMA: &str = "agent/verify@1";

/// What is known of a version; `None` where something could not be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub version: Version,
    pub commit: ObjectId,
    pub tree: ObjectId,
    pub parents: Vec<ObjectId>,
    pub trailers: Trailers,
    /// The commit that its tag is on.
    pub tagged: Option<ObjectId>,
    /// The served branch that has the commit along its first parents.
    pub branch: Option<String>,
    /// In a shallow clone the branch is unknown.
    pub is_shallow: bool,
    pub objects: Objects,
    /// The Revision of the state in its tree.
    pub state: Option<ObjectId>,
    /// The paths that differ from its first parent.
    pub changed: Vec<String>,
    /// The version that the first parent is.
    pub base: Option<Base>,
    /// Of a release: the commit whose code it has.
    pub source: Option<Source>,
    /// Of a rollback.
    pub restored: Option<Restored>,
    /// The newest version before it that has a record of the gate.
    pub recorded_before: Option<Version>,
    /// What the manifest of the judging commit requires of its kind.
    pub gated: Option<Gated>,
    /// The evaluators in its own tree.
    pub own: Judges,
    /// For a version without a maintainer's decision: its change to the evaluators of the previous
    /// version.
    pub evaluators: Option<Result<Effect, String>>,
    /// The stored evaluation.
    pub evaluation: Option<Vec<u8>>,
    /// The stored results, case by case.
    pub results: BTreeMap<Tier, Arc<Results>>,
    /// The stored results by the evaluators before it.
    pub before: Option<Results>,
    /// The stored record of the gate.
    pub record: Option<Vec<u8>>,
    /// The newest version before it that names its ledger.
    pub ledger_named_before: Option<Version>,
    /// The number of earlier versions with an accepted attempt in the ledger, where that was
    /// computed.
    pub discoveries: Option<u64>,
    /// The gate's ledger, or why it cannot be read.
    pub ledger: Option<Result<Arc<Ledger>, String>>,
    /// The stored Journal.
    pub journal: Option<Vec<u8>>,
    /// The feedback items it answers that are in the inbox.
    pub feedback: Vec<String>,
}

/// By tier; or why they cannot be read.
pub type Judges = BTreeMap<Tier, Result<Arc<Judge>, String>>;

/// The git objects that a version consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Objects {
    pub count: usize,
    /// Those that are unreadable or do not match their id.
    pub damaged: Vec<String>,
    /// Those that this clone does not have.
    pub absent: Vec<String>,
    /// Those in whose place git shows others, by `git replace` or a graft.
    pub replaced: Vec<String>,
}

/// The version it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    pub version: Version,
    /// The Revision of its state, and the one of the same state in its canonical spelling.
    pub state: Option<ObjectId>,
    pub canonical: Option<ObjectId>,
    /// The evaluators in its tree.
    pub judges: Judges,
    /// The results of its own evaluation.
    pub results: BTreeMap<Tier, Arc<Results>>,
}

/// The commit whose code a release has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub commit: ObjectId,
    /// The paths that differ between the two, the state file aside.
    pub differing: Vec<String>,
    /// Whether the source has another state, schema or migration than where it parted from the
    /// base.
    pub changes_state: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// Absent, and recreated from other data: no evidence for or against a version.
    Gap,
    /// Absent: no evidence for or against a version.
    Missing,
    Wrong,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub status: Status,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub version: Version,
    pub commit: ObjectId,
    pub status: Status,
    pub checks: Vec<Check>,
}

impl Report {
    fn of(version: &Version, commit: &ObjectId, checks: Vec<Check>) -> Self {
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
        Self { version: version.clone(), commit: commit.clone(), status, checks }
    }

    /// With what else was found.
    #[must_use]
    pub fn with(mut self, more: Vec<Check>) -> Self {
        self.checks.extend(more);
        Self::of(&self.version, &self.commit, self.checks)
    }

    /// Of a version whose commit cannot be read.
    pub fn unreadable(version: &Version, commit: &ObjectId, why: &str) -> Self {
        let message = format!("commit {} cannot be read: {why}", commit.short());
        Self::of(version, commit, vec![Check { check: "objects", status: Status::Wrong, message }])
    }
}

impl Status {
    /// What kind of failure this is; a gap is not one, it is filled from other data.
    pub const fn failure(self) -> Option<FailureKind> {
        match self {
            Self::Ok | Self::Gap => None,
            Self::Missing => Some(FailureKind::NotEnoughEvidence),
            Self::Wrong => Some(FailureKind::Refused),
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gap => "gap",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }
}

/// The finding on one link of the chain.
pub type Finding = (Status, String);

pub fn ok(message: impl Into<String>) -> Finding {
    (Status::Ok, message.into())
}

/// A version's tag is recreated from its commit, unless many are missing: then they have to be
/// fetched.
pub fn untagged(message: &str, is_shallow: bool) -> Finding {
    if is_shallow {
        missing(message)
    } else {
        (Status::Gap, format!("{message}; it is recreated from the commit"))
    }
}

pub fn missing(message: impl Into<String>) -> Finding {
    (Status::Missing, message.into())
}

pub fn wrong(message: impl Into<String>) -> Finding {
    (Status::Wrong, message.into())
}

/// The facts, with the documents among them read.
struct Subject<'a> {
    facts: &'a Facts,
    /// The evaluation that the commit names, where it is present and has cases.
    evaluation: Option<Evaluation>,
    record: Option<Result<(Record, StoredPairs), String>>,
}

impl<'a> Subject<'a> {
    fn new(facts: &'a Facts) -> Self {
        let evaluation = facts.evaluation.as_deref().and_then(read_evaluation);
        let is_named = |document: &Value| {
            Some(Evaluation::digest_of_document(document)) == facts.trailers.eval
        };
        let evaluation = evaluation
            .filter(|(evaluation, document)| is_named(document) && !evaluation.tiers.is_empty());
        let evaluation = evaluation.map(|(evaluation, _)| evaluation);
        let record = facts
            .record
            .as_deref()
            .map(|bytes| Record::from_bytes(bytes).map_err(|error| error.to_string()));
        Self { facts, evaluation, record }
    }

    fn summary(&self, tier: Tier) -> Option<&TierSummary> {
        self.evaluation.as_ref()?.tiers.get(&tier)
    }
}

impl Facts {
    fn made_by(&self) -> Option<Kind> {
        self.trailers.kind
    }

    /// Whether the `agent` that made it, or made a version before it, stored a record of the gate.
    fn is_recorded(&self) -> bool {
        self.trailers.gate.is_some() || self.recorded_before.is_some()
    }

    fn own_judge(&self, tier: Tier) -> Result<&Judge, Finding> {
        judge(&self.own, tier, "its tree").map_err(|finding| self.as_far_as_read_now(finding))
    }

    /// An `agent` before the record of the gate read evaluators in another way: unreadable ones are
    /// no defect of its versions.
    fn as_far_as_read_now(&self, (status, message): Finding) -> Finding {
        if self.is_recorded() { (status, message) } else { (Status::Missing, message) }
    }

    fn base_judge(&self, tier: Tier) -> Result<&Judge, Finding> {
        let base = self
            .base
            .as_ref()
            .ok_or_else(|| missing("the version it was made from is not here"))?;
        judge(&base.judges, tier, &tag_of(&base.version))
    }

    fn base_results(&self, tier: Tier) -> Option<&Results> {
        self.base.as_ref()?.results.get(&tier).map(Arc::as_ref)
    }
}

fn judge<'a>(judges: &'a Judges, tier: Tier, of: &str) -> Result<&'a Judge, Finding> {
    match judges.get(&tier) {
        Some(Ok(judge)) => Ok(judge),
        Some(Err(problem)) => {
            Err(wrong(format!("the cases of {tier} in {of} cannot be read: {problem}")))
        }
        None => Err(missing(format!("the cases of {tier} in {of} are not here"))),
    }
}

/// The check of a link.
enum Find {
    Always(fn(&Facts) -> Finding),
    /// `None` where it does not apply.
    Sometimes(fn(&Facts) -> Option<Finding>),
    /// `None` where it does not apply; reads documents.
    Read(fn(&Subject<'_>) -> Option<Finding>),
}

impl Find {
    fn check(&self, subject: &Subject<'_>) -> Option<Finding> {
        match self {
            Self::Always(find) => Some(find(subject.facts)),
            Self::Sometimes(find) => find(subject.facts),
            Self::Read(find) => find(subject),
        }
    }
}

const CHAIN: &[(&str, Find)] = &[
    ("tag", Find::Always(tag)),
    ("branch", Find::Always(branch)),
    ("base", Find::Always(base)),
    ("objects", Find::Always(objects)),
    ("state", Find::Always(state)),
    ("scope", Find::Sometimes(scope)),
    ("source", Find::Sometimes(source)),
    ("rollback", Find::Sometimes(rollback)),
    ("coder", Find::Sometimes(coder)),
    ("evaluation", Find::Always(evaluation)),
    ("results", Find::Read(results)),
    ("figures", Find::Read(added_up)),
    ("definitions", Find::Read(definitions)),
    ("gate", Find::Read(decision::gate)),
    ("ledger", Find::Read(decision::ledger)),
    ("journal", Find::Sometimes(sealed_journal)),
    ("feedback", Find::Sometimes(feedback)),
];

/// Every link that applies to the version.
pub fn verify(facts: &Facts) -> Report {
    let subject = Subject::new(facts);
    let checks = CHAIN.iter().filter_map(|(check, find)| {
        find.check(&subject).map(|(status, message)| Check { check, status, message })
    });
    Report::of(&facts.version, &facts.commit, checks.collect())
}

fn tag(facts: &Facts) -> Finding {
    let version = &facts.version;
    match facts.trailers.as_version() {
        _ if !facts.trailers.malformed.is_empty() => {
            let (key, value) = &facts.trailers.malformed[0];
            wrong(format!("its commit has a trailer that cannot be read: {key}: {value}"))
        }
        Some((kind, named)) if named == version => match &facts.tagged {
            Some(tagged) if *tagged == facts.commit => {
                ok(format!("its commit declares v{named}, a {}", kind.as_str()))
            }
            Some(tagged) => wrong(format!(
                "its commit declares v{named}, but that tag is on {}",
                tagged.short()
            )),
            None if facts.branch.is_none() => {
                missing(format!("its commit declares v{named}, but there is no such tag"))
            }
            None => untagged(
                &format!("its commit declares v{named}, but the tag is missing"),
                facts.is_shallow,
            ),
        },
        Some((_, named)) => wrong(format!("its commit declares v{named}")),
        None => wrong("its commit does not declare a version"),
    }
}

fn branch(facts: &Facts) -> Finding {
    match &facts.branch {
        Some(branch) => ok(format!("{branch} has it")),
        None if facts.is_shallow => {
            missing("this clone is shallow, so its branch cannot be followed back to it")
        }
        None => wrong("neither active nor a line has it"),
    }
}

fn base(facts: &Facts) -> Finding {
    match (&facts.trailers.base, facts.parents.first()) {
        (Some(base), Some(parent)) if base == parent => match &facts.base {
            Some(_) => ok(format!("made on top of {}", base.short())),
            None if facts.is_shallow => missing(format!(
                "made on top of {}, which this shallow clone does not have",
                base.short()
            )),
            None => wrong(format!("made on top of {}, which is not a version", base.short())),
        },
        (Some(base), Some(parent)) => wrong(format!(
            "its base is declared as {}, but its parent is {}",
            base.short(),
            parent.short()
        )),
        (Some(base), None) => {
            wrong(format!("its base is declared as {}, but it has no parent", base.short()))
        }
        (None, _) if facts.base.is_some() => {
            wrong("its parent is a version, but it does not declare it as its base")
        }
        (None, _) if facts.trailers.kind == Some(Kind::Release) => ok("the first of its line"),
        (None, _) => wrong("it does not declare its base"),
    }
}

fn objects(facts: &Facts) -> Finding {
    let Objects { count, damaged, absent, replaced } = &facts.objects;
    let first = |list: &[String], what: &str| match list {
        [] => None,
        [one] => Some(format!("{one} {what}")),
        [one, ..] => Some(format!("{one} and {} more: {what}", list.len() - 1)),
    };
    let bad = first(damaged, "damaged").or_else(|| {
        first(
            replaced,
            "replaced: git shows another object in its place (`git replace \
            -d`, or .git/info/grafts)",
        )
    });
    match (bad, first(absent, "not in this clone")) {
        (Some(bad), _) => wrong(bad),
        (None, Some(absent)) => missing(absent),
        (None, None) => ok(format!("{count} objects, each matches its id")),
    }
}

fn state(facts: &Facts) -> Finding {
    match (&facts.trailers.state, &facts.state) {
        (Some(named), Some(held)) if named == held => {
            ok(format!("its tree holds state {}", held.short()))
        }
        (Some(named), Some(held)) => wrong(format!(
            "it declares the state {}, but its tree holds {}",
            named.short(),
            held.short()
        )),
        (None, _) => wrong("it does not declare its state"),
        (_, None) => wrong("its tree holds no state"),
    }
}

fn scope(facts: &Facts) -> Option<Finding> {
    if facts.trailers.kind != Some(Kind::Promotion) {
        return None;
    }
    let outside = facts.changed.iter().find(|path| !path.starts_with(STATE_FOLDER));
    Some(match outside {
        Some(path) => wrong(format!("a promotion that changes {path}")),
        None if facts.parents.len() > 1 => {
            wrong(format!("a promotion with {} parents", facts.parents.len()))
        }
        None => ok("a promotion that touches only state/"),
    })
}

/// A release is its source under the state that was served.
fn source(facts: &Facts) -> Option<Finding> {
    if facts.trailers.kind != Some(Kind::Release) {
        return None;
    }
    let Some(source) = &facts.source else {
        return Some(match (&facts.trailers.base, facts.parents.len()) {
            (None, 0) => ok("a first version, made from no other commit"),
            (None, 1) | (Some(_), 2) => missing("the commit it was made from is not in this clone"),
            _ => wrong("it does not have the commit it was made from as a parent"),
        });
    };
    Some(if let Some(path) = source.differing.first() {
        wrong(format!("{path} is not that of {}, whose code it is to have", source.commit.short()))
    } else {
        carried(facts, source)
    })
}

fn carried(facts: &Facts, source: &Source) -> Finding {
    let code = format!("the code of {}", source.commit.short());
    let Some(base) = &facts.base else { return ok(code) };
    let version = tag_of(&base.version);
    if base.canonical.is_none() {
        return missing(format!("the state of {version} is not here"));
    }
    if facts.state == base.state || facts.state == base.canonical {
        return ok(format!("{code}, and the state of {version}"));
    }
    if source.changes_state {
        return ok(format!(
            "{code}, and the state of {version}, migrated or merged with what that commit changed"
        ));
    }
    wrong(format!("its state is not that of {version}, and {} changed none", source.commit.short()))
}

fn rollback(facts: &Facts) -> Option<Finding> {
    if facts.trailers.kind != Some(Kind::Rollback) {
        return None;
    }
    Some(match &facts.restored {
        Some(Restored::Version(version)) => {
            ok(format!("its tree and its evidence are those of {}", tag_of(version)))
        }
        Some(Restored::Nothing(why)) => wrong(*why),
        Some(Restored::Unknown) => {
            missing("this clone is shallow, and has no version before it with its tree")
        }
        None => wrong("no branch has it, so no version before it has its tree"),
    })
}

/// A coder's change of evaluators needs a maintainer's approval: no change is judged by its own
/// evaluators.
fn coder(facts: &Facts) -> Option<Finding> {
    let coder = facts.trailers.coder.as_ref()?;
    Some(match &facts.evaluators {
        None => ok(format!("made by {coder}")),
        Some(Err(problem)) => missing(format!(
            "made by {coder}; what it did to the evaluators cannot be seen: {problem}"
        )),
        Some(Ok(Effect::None)) => {
            ok(format!("made by {coder}, which left the evaluators as they were"))
        }
        Some(Ok(Effect::Additions { cases })) => {
            ok(format!("made by {coder}, which added {cases} cases"))
        }
        // an `agent` before the record of the gate released these as well
        Some(Ok(Effect::Person { .. })) if !facts.is_recorded() => {
            ok(format!("made by {coder}, when a coder could still change evaluators"))
        }
        Some(Ok(Effect::Person { why })) => wrong(format!("made by {coder} alone: {why}")),
    })
}

fn evaluation(facts: &Facts) -> Finding {
    let Some(named) = &facts.trailers.eval else {
        return wrong("it names no evaluation");
    };
    let Some(bytes) = &facts.evaluation else {
        return missing("the evaluation it names is not in the object store");
    };
    let Some((stored, document)) = read_evaluation(bytes) else {
        return wrong("the stored evaluation cannot be read");
    };
    let digest = Evaluation::digest_of_document(&document);
    let evaluation_defect = || {
        stored.tiers.iter().find_map(|(tier, summary)| {
            Some(format!("{tier} of the evaluation {}", figures::evaluation_defect(summary)?))
        })
    };
    match () {
        () if digest != *named => {
            wrong(format!("the stored evaluation has the digest {digest}, not the one it names"))
        }
        () if canonical::to_bytes(&document) != *bytes => {
            wrong("the stored evaluation is not as it was written")
        }
        () if stored.commit.as_deref() != Some(facts.commit.as_str()) => {
            wrong("the stored evaluation is of another commit")
        }
        () if stored.tree.as_deref() != Some(facts.tree.as_str()) => {
            wrong("the evaluation was made on another tree")
        }
        () if stored.state.as_deref() != facts.trailers.state.as_ref().map(ObjectId::as_str) => {
            wrong("the evaluation was made under another state")
        }
        () if stored.tiers.is_empty() => wrong("the evaluation has no tier"),
        () => evaluation_defect()
            .map_or_else(|| ok(format!("passed {} on this tree", tiers(&stored))), wrong),
    }
}

/// As it is understood, and as the document it is.
fn read_evaluation(bytes: &[u8]) -> Option<(Evaluation, Value)> {
    Some((Evaluation::from_bytes(bytes)?, serde_json::from_slice::<Value>(bytes).ok()?))
}

fn tiers(evaluation: &Evaluation) -> String {
    let shown: Vec<String> = evaluation
        .tiers
        .iter()
        .map(|(tier, summary)| {
            format!("{tier} ({} cases, score {:.3})", summary.cases, summary.score)
        })
        .collect();
    shown.join(", ")
}

fn results(subject: &Subject<'_>) -> Option<Finding> {
    let evaluation = subject.evaluation.as_ref()?;
    for (tier, summary) in &evaluation.tiers {
        match (&summary.results, subject.facts.results.get(tier)) {
            (None, _) => {
                return Some(wrong(format!("the evaluation does not name the results of {tier}")));
            }
            (_, None) => {
                return Some(missing(format!(
                    "the results of {tier}, case by case, are not in the object store"
                )));
            }
            (Some(named), Some(stored)) if stored.digest != *named => {
                return Some(wrong(format!(
                    "the stored results of {tier} are not those it was judged by"
                )));
            }
            (_, Some(stored)) => {
                if let Err(problem) = &stored.fold {
                    return Some(wrong(format!(
                        "the stored results of {tier} cannot be read: {problem}"
                    )));
                }
            }
        }
    }
    Some(ok("case by case, as the evaluation names them"))
}

/// The stored results of the tiers, as far as they are those that the evaluation names.
fn folds<'a>(
    subject: &'a Subject<'_>,
) -> impl Iterator<Item = (Tier, &'a TierSummary, &'a crate::testing::evaluation::TierFold)> {
    let tiers = subject.evaluation.iter().flat_map(|evaluation| &evaluation.tiers);
    tiers.filter_map(|(tier, summary)| {
        let stored = subject
            .facts
            .results
            .get(tier)
            .filter(|stored| Some(&stored.digest) == summary.results.as_ref())?;
        Some((*tier, summary, stored.fold.as_ref().ok()?))
    })
}

fn added_up(subject: &Subject<'_>) -> Option<Finding> {
    let mut looked = Vec::new();
    for (tier, summary, fold) in folds(subject) {
        let judge = match subject.facts.own_judge(tier) {
            Ok(judge) => judge,
            Err(finding) => return Some(finding),
        };
        if let Some(problem) = figures::differs(summary, fold, judge.budget) {
            return Some(wrong(format!("{tier}: {problem}")));
        }
        looked.push(tier.to_string());
    }
    (!looked.is_empty()).then(|| ok(format!("{} added up again", looked.join(", "))))
}

/// The cases, scorers and budgets that the evaluation names are those of the commit that judges.
fn definitions(subject: &Subject<'_>) -> Option<Finding> {
    let evaluation = subject.evaluation.as_ref()?;
    let mut earlier = false;
    for tier in evaluation.tiers.keys() {
        let judge = match subject.facts.own_judge(*tier) {
            Ok(judge) => judge,
            Err(finding) => return Some(finding),
        };
        let (recorded, recomputed) = (&evaluation.definitions, &judge.definitions);
        let differs = recorded.differences(recomputed, *tier);
        let differs = differs
            .first()
            .copied()
            .or_else(|| (recorded.budgets != recomputed.budgets).then_some("budgets"));
        match differs {
            // an `agent` before the record of the gate made some of these digests in another way
            Some(_) if !subject.facts.is_recorded() => earlier = true,
            Some(what) => {
                return Some(wrong(format!(
                    "{tier} was judged by other {what} than those in its tree"
                )));
            }
            None => {}
        }
    }
    for (tier, _, fold) in folds(subject) {
        if let Some(problem) = subject
            .facts
            .own_judge(tier)
            .ok()
            .and_then(|judge| figures::of_other_cases(fold, judge))
        {
            return Some(wrong(format!("the results of {tier}: {problem}")));
        }
    }
    Some(ok(if earlier {
        "each case has its result; the digests are those of an earlier `agent`"
    } else {
        "cases, scorers and budgets are those in its tree"
    }))
}

fn sealed_journal(facts: &Facts) -> Option<Finding> {
    let Some(named) = &facts.trailers.journal else {
        // only signals can have changed its state
        return (facts.trailers.kind == Some(Kind::Promotion))
            .then(|| wrong("a promotion that names no Journal"));
    };
    let Some(bytes) = &facts.journal else {
        return Some(missing("the Journal it names is not in the object store"));
    };
    if digest(bytes) != *named {
        return Some(wrong(format!(
            "the stored Journal has the digest {}, not the one it names",
            digest(bytes)
        )));
    }
    Some(replayed(facts, bytes).unwrap_or_else(|error| wrong(error.to_string())))
}

/// From the base's state, update by update, to this one.
fn replayed(facts: &Facts, bytes: &[u8]) -> Result<Finding, journal::JournalError> {
    let begin = journal::Fold::begin(bytes)?;
    let mut updates = 0;
    let mut after = begin.start.clone();
    let mut torn = None;
    let end = journal::walk(bytes, |record, _| {
        updates += 1;
        if record.before != after && torn.is_none() {
            torn = Some(record.seq);
        }
        after = record.after.clone();
    })?;
    let base = &begin.base;
    let canonical = facts.base.as_ref().and_then(|base| base.canonical.as_ref());
    let state = facts.base.as_ref().and_then(|base| base.state.as_ref());
    Ok(match () {
        () if facts.trailers.base.as_ref() != Some(&base.commit) => wrong(format!(
            "the Journal begins at v{}, which is not what it was made from",
            base.version
        )),
        () if state.is_some_and(|state| *state != base.revision)
            || canonical.is_some_and(|state| *state != begin.start) =>
        {
            wrong(format!(
                "the Journal begins with state {}, which v{} does not hold",
                begin.start.short(),
                base.version
            ))
        }
        () if updates == 0 => wrong("the Journal holds no update"),
        () if torn.is_some() => wrong(format!(
            "update {} of the Journal does not begin where the one before it ended",
            torn.unwrap_or_default()
        )),
        () if after != end.revision => {
            wrong("the last update of the Journal ends in another state than its changes lead to")
        }
        () if end.end != bytes.len() as u64 => {
            wrong("the Journal has something after its last update")
        }
        () if facts.state.as_ref() != Some(&end.revision) => wrong(format!(
            "replayed, the Journal ends in state {}, which its tree does not hold",
            end.revision.short()
        )),
        () => ok(format!("{updates} updates, replayed from v{} to this state", base.version)),
    })
}

fn feedback(facts: &Facts) -> Option<Finding> {
    let named = &facts.trailers.feedback;
    if named.is_empty() {
        return None;
    }
    let absent: Vec<&str> =
        named.iter().filter(|item| !facts.feedback.contains(item)).map(String::as_str).collect();
    Some(if absent.is_empty() {
        ok(format!("answers {}", named.join(", ")))
    } else {
        missing(format!("not in the inbox: {}", absent.join(", ")))
    })
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
