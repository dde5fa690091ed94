//! `agent bisect`: the version that broke a case, by what is stored where that does; and inside a
//! promotion, the signal.

mod signals;

use crate::error::Failure;
use crate::repository::Repository;
use crate::target::Target;
use crate::target::evaluators::SCORERS;
use crate::testing::cases;
use crate::testing::{self, Request, TierFailure};
use crate::versions::stored::{StoredCase, StoredTiers};
use crate::world::git::CommitInfo;
use agent_core::bisection::{
    Bisection, Commit, Conclusion, Effort, How, PointOutcome, Probe, SCHEMA, search,
};
use agent_core::formats::diagnose::Messages as _;
use agent_core::formats::manifest::Tier;
use agent_core::formats::object_id::ObjectId;
use agent_core::formats::suggestion::did_you_mean;
use agent_core::state::differences;
use agent_core::testing::case_result::{CaseResult, Outcome};
use agent_core::version::what::What;
use agent_core::version::{Kind, tag};
use semver::Version;
use std::collections::{BTreeSet, HashMap};

pub struct Options {
    pub case: String,
    pub tier: Option<Tier>,
    /// A version at which it passed, given by the user.
    pub good: Option<What>,
    /// Where it fails.
    pub bad: What,
}

/// Finds the version, and the change in it. `on_probe` is called with each probed point.
pub fn bisect(
    repository: &Repository,
    options: &Options,
    on_probe: &mut dyn FnMut(&Probe),
) -> Result<Bisection, Failure> {
    let history = history(repository, &options.bad)?;
    let good =
        options.good.as_ref().map(|good| place_of(repository, good, &history)).transpose()?;
    let last = history.last().expect("a history has the bad version");
    let tier = match options.tier {
        Some(tier) => tier,
        None => tier_of(repository, last, &options.case)?,
    };
    let mut search_of = Search::new(repository, &history, tier, &options.case, on_probe);
    let conclusion = search(history.len(), good, |point, effort| search_of.probe(point, effort))?;
    let Search { probes, seen, .. } = search_of;
    let mut found = Bisection {
        schema: SCHEMA,
        case: options.case.clone(),
        tier,
        found: false,
        why: String::new(),
        good: None,
        bad: None,
        kind: None,
        signal: None,
        commits: Vec::new(),
        state: Vec::new(),
        redefined: Vec::new(),
        probes,
    };
    match conclusion {
        Conclusion::Unknown => return Err(unknown(repository, last, tier, &options.case)?),
        Conclusion::NeverBad => {
            found.why = format!("it passes at {}: nothing broke it", shown(last));
        }
        Conclusion::NeverGood { first } => {
            found.why = never_good(&options.case, &shown(&history[first]), good.is_some());
            found.bad = seen.get(&first).cloned();
        }
        Conclusion::Broke { good, bad } => {
            found.good = seen.get(&good).cloned();
            found.bad = seen.get(&bad).cloned();
            broken(repository, &mut found, (&history[good], &history[bad]), on_probe)?;
        }
    }
    Ok(found)
}

fn never_good(case: &str, first: &str, named: bool) -> String {
    if named {
        format!("it fails at {first} already, which was given as good")
    } else {
        format!(
            "it fails at {first} already, the first version that has `{case}`; `--good` names one \
            where it passed"
        )
    }
}

/// The versions up to the bad one along first parents, oldest first.
fn history(repository: &Repository, bad: &What) -> Result<Vec<CommitInfo>, Failure> {
    let commit = repository.commit_of(&repository.version_named(bad)?)?;
    let mut history = Vec::new();
    for commit in repository.git.first_parents(&commit) {
        let commit = commit?;
        if commit.trailers.as_version().is_none() {
            break;
        }
        history.push(commit);
    }
    history.reverse();
    Ok(history)
}

fn place_of(
    repository: &Repository,
    good: &What,
    history: &[CommitInfo],
) -> Result<usize, Failure> {
    let commit = repository.commit_of(&repository.version_named(good)?)?;
    let earlier = &history[..history.len() - 1];
    earlier.iter().position(|version| version.id == commit).ok_or_else(|| {
        let bad = history.last().map(shown).unwrap_or_default();
        Failure::input(format!("`{good}` is not a version that {bad} was made from"))
            .with_hint("`agent versions` lists them in order")
    })
}

fn version(commit: &CommitInfo) -> &Version {
    commit.trailers.version.as_ref().expect("a history is of versions")
}

fn shown(commit: &CommitInfo) -> String {
    tag(version(commit))
}

/// The narrowest tier with the case, by what is stored, else by the files.
fn tier_of(repository: &Repository, at: &CommitInfo, case: &str) -> Result<Tier, Failure> {
    let kept = StoredTiers::of(repository, at)?;
    for tier in Tier::ALL {
        if matches!(kept.case(tier, case)?, Some(StoredCase::Result(_))) {
            return Ok(tier);
        }
    }
    let target = repository.target(&What::Version(version(at).clone()))?;
    let mut known = BTreeSet::new();
    for tier in Tier::ALL {
        let ids = case_ids(repository, &target, tier)?;
        if ids.contains(case) {
            return Ok(tier);
        }
        known.extend(ids);
    }
    Err(no_case(case, &shown(at), &known))
}

fn case_ids(
    repository: &Repository,
    target: &Target,
    tier: Tier,
) -> Result<BTreeSet<String>, Failure> {
    Ok(cases::load(&target.own_evaluators().files(&repository.git)?, tier)?
        .cases
        .list
        .into_iter()
        .map(|case| case.id)
        .collect())
}

fn unknown(
    repository: &Repository,
    at: &CommitInfo,
    tier: Tier,
    case: &str,
) -> Result<Failure, Failure> {
    let target = repository.target(&What::Version(version(at).clone()))?;
    Ok(no_case(case, &format!("{tier} of {}", shown(at)), &case_ids(repository, &target, tier)?))
}

fn no_case(case: &str, place: &str, known: &BTreeSet<String>) -> Failure {
    let suggestion = did_you_mean(case, known.iter().map(String::as_str));
    Failure::input(format!("there is no case `{case}` in {place}{suggestion}"))
        .with_hint("`--bad` names another version, `--tier` another tier")
}

/// A search over versions: its points, and the results so far.
struct Search<'a> {
    repository: &'a Repository,
    history: &'a [CommitInfo],
    /// Versions by their tree: a rollback has the result of the version it restores.
    by_tree: HashMap<&'a ObjectId, Vec<usize>>,
    tier: Tier,
    case: &'a str,
    seen: HashMap<usize, Probe>,
    probes: Vec<Probe>,
    on_probe: &'a mut dyn FnMut(&Probe),
}

impl<'a> Search<'a> {
    fn new(
        repository: &'a Repository,
        history: &'a [CommitInfo],
        tier: Tier,
        case: &'a str,
        on_probe: &'a mut dyn FnMut(&Probe),
    ) -> Self {
        let mut by_tree: HashMap<_, Vec<usize>> = HashMap::new();
        for (point, commit) in history.iter().enumerate() {
            by_tree.entry(&commit.tree).or_default().push(point);
        }
        Self {
            repository,
            history,
            by_tree,
            tier,
            case,
            seen: HashMap::new(),
            probes: Vec::new(),
            on_probe,
        }
    }

    fn probe(&mut self, point: usize, effort: Effort) -> Result<Option<PointOutcome>, Failure> {
        if let Some(probe) = self.seen.get(&point) {
            return Ok(Some(probe.seen));
        }
        let (how, result) = match (self.stored(point)?, effort) {
            (Some(stored), _) => (How::Stored, stored.result()),
            (None, Effort::Known) => return Ok(None),
            (None, Effort::Run) => {
                let target = self
                    .repository
                    .target(&What::Version(version(&self.history[point]).clone()))?;
                (How::Run, run_case(self.repository, &target, self.tier, self.case)?)
            }
        };
        let commit = &self.history[point];
        let probe = Probe::new(version(commit).clone(), commit.id.clone(), how, result);
        (self.on_probe)(&probe);
        let seen = probe.seen;
        self.probes.push(probe.clone());
        self.seen.insert(point, probe);
        Ok(Some(seen))
    }

    fn stored(&self, point: usize) -> Result<Option<StoredCase>, Failure> {
        let same_tree = &self.by_tree[&self.history[point].tree];
        for point in
            std::iter::once(&point).chain(same_tree.iter().filter(|other| **other != point))
        {
            if let Some(stored) = StoredTiers::of(self.repository, &self.history[*point])?
                .case(self.tier, self.case)?
            {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }
}

/// Runs one case; `None` where the target has no such case. Code that cannot run it fails it.
fn run_case(
    repository: &Repository,
    target: &Target,
    tier: Tier,
    case: &str,
) -> Result<Option<CaseResult>, Failure> {
    if !case_ids(repository, target, tier)?.contains(case) {
        return Ok(None);
    }
    let request = Request { only: Some([case.to_owned()].into()), ..Request::new(tier) };
    match testing::run_tier(repository, target, &target.own_evaluators(), &request, &mut |_| {}) {
        Ok(outcome) => Ok(outcome.into_results().into_iter().find(|result| result.id == case)),
        Err(TierFailure::Child(error)) => {
            let why = Some(error.messages().join(": "));
            Ok(Some(CaseResult {
                outcome: Outcome::Errored,
                score: 0.0,
                why,
                ..CaseResult::passed(case)
            }))
        }
        Err(other) => Err(other.into()),
    }
}

/// The part of the version that broke the case.
fn broken(
    repository: &Repository,
    found: &mut Bisection,
    (good, bad): (&CommitInfo, &CommitInfo),
    on_probe: &mut dyn FnMut(&Probe),
) -> Result<(), Failure> {
    found.found = true;
    found.kind = bad.trailers.kind;
    let kind = bad.trailers.kind.map_or("version", Kind::as_str);
    found.why = format!("it broke with {}, a {kind}: it passed at {}", shown(bad), shown(good));
    found.redefined = redefined(repository, found, good, bad)?;
    if bad.trailers.kind == Some(Kind::Release) {
        found.commits = commits_between(repository, &good.id, &bad.id)?;
    }
    let states = [repository.state_at(&good.id)?, repository.state_at(&bad.id)?];
    found.state = differences(&states[0], &states[1]).into_iter().map(Into::into).collect();
    if let (Some(Kind::Promotion), Some(digest)) = (bad.trailers.kind, &bad.trailers.journal) {
        signals::search_journal(repository, found, bad, digest, on_probe)?;
    }
    Ok(())
}

fn commits_between(
    repository: &Repository,
    good: &ObjectId,
    bad: &ObjectId,
) -> Result<Vec<Commit>, Failure> {
    let mut commits = Vec::new();
    for id in repository.git.between(good, bad)? {
        let info = repository.git.commit(&id)?;
        if info.trailers.as_version().is_none() {
            let subject = info.message.lines().next().unwrap_or_default().to_owned();
            commits.push(Commit { id, subject });
        }
    }
    Ok(commits)
}

/// The evaluators that differ between the two ends.
fn redefined(
    repository: &Repository,
    found: &Bisection,
    good: &CommitInfo,
    bad: &CommitInfo,
) -> Result<Vec<&'static str>, Failure> {
    let mut redefined = Vec::new();
    let place = |probe: &Option<Probe>| probe.as_ref().and_then(|probe| probe.place.clone());
    if let (Some(before), Some(now)) = (place(&found.good), place(&found.bad))
        && line_at(repository, &good.id, &before)? != line_at(repository, &bad.id, &now)?
    {
        redefined.push("case");
    }
    if repository.git.entry(&good.id, SCORERS)?.map(|entry| entry.id)
        != repository.git.entry(&bad.id, SCORERS)?.map(|entry| entry.id)
    {
        redefined.push("scorers");
    }
    Ok(redefined)
}

/// The text at `FILE:LINE` of a commit.
fn line_at(
    repository: &Repository,
    commit: &ObjectId,
    place: &str,
) -> Result<Option<String>, Failure> {
    let Some((file, line)) =
        place.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<usize>().ok()?)))
    else {
        return Ok(None);
    };
    let bytes = repository.git.read(commit, file)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().nth(line.saturating_sub(1)).map(str::to_owned))
}
