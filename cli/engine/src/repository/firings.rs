//! Firings and mutes on record: files of the inbox, so that a firing and its feedback item are one
//! commit, and both are cloned and pushed with the repository.

use crate::repository::Repository;
use crate::repository::error::RepositoryError;
use crate::repository::inbox::entry;
use crate::repository::records::{INBOX, View};
use crate::world::clock;
use agent_core::architect::feedback::{Feedback, Status};
use agent_core::formats::canonical;
use agent_core::formats::committed::Committed;
use agent_core::trigger::FREEZE;
use agent_core::trigger::firing::{Acknowledged, Firing, MUTE_SCHEMA, Mute};
use jiff::Timestamp;

const FIRINGS: &str = "firings";
const MUTES: &str = "mutes";

fn path(id: &str) -> String {
    format!("{FIRINGS}/{id}.json")
}

fn file(firing: &Firing) -> (String, Vec<u8>) {
    (path(&firing.id), firing.to_bytes())
}

/// All firings, oldest first. One that cannot be read is left out with a warning: it may come from
/// another clone, and the rest is needed.
pub fn all(repository: &Repository) -> Result<Vec<Firing>, RepositoryError> {
    let (firings, problems) = read(&INBOX.view(&repository.git)?)?;
    for problem in problems {
        repository.warn(&format!("a firing is left out: {problem}"));
    }
    Ok(firings)
}

/// The readable firings, and the errors of the others.
fn read(view: &View<'_>) -> Result<(Vec<Firing>, Vec<String>), RepositoryError> {
    let (mut firings, mut problems) = (Vec::new(), Vec::new());
    for (path, bytes) in view.files(FIRINGS)? {
        match Firing::parse(&bytes) {
            Ok(firing) => firings.push(firing),
            Err(problem) => problems.push(format!("inbox:{path}: {problem}")),
        }
    }
    firings.sort_by(|one, other| (&one.fired, &one.id).cmp(&(&other.fired, &other.id)));
    Ok((firings, problems))
}

pub fn mutes(repository: &Repository) -> Result<Vec<Mute>, RepositoryError> {
    let files = INBOX.view(&repository.git)?.files(MUTES)?;
    files
        .into_iter()
        .map(|(path, bytes)| {
            serde_json::from_slice(&bytes).map_err(|source| RepositoryError::NotAMute {
                origin: format!("inbox:{path}"),
                source,
            })
        })
        .collect()
}

/// An open firing that holds promotions, if any: one of a rule with the action `freeze` that is not
/// muted.
pub fn holding_promotions(repository: &Repository) -> Result<Option<Firing>, RepositoryError> {
    let now = clock::rfc3339(clock::now());
    let mutes = mutes(repository)?;
    let is_muted = |rule: &str| mutes.iter().any(|mute| mute.rule == rule && mute.until > now);
    Ok(all(repository)?.into_iter().find(|firing| {
        firing.is_open() && firing.actions.contains_key(FREEZE) && !is_muted(&firing.rule)
    }))
}

/// Records a firing with its feedback item, unless the rule has an open one; whether it was
/// recorded.
pub fn open(
    repository: &Repository,
    firing: &Firing,
    item: &Feedback,
) -> Result<Committed<bool>, RepositoryError> {
    let mut is_new = false;
    let edited = INBOX.edit(&repository.git, |view| {
        let (known, _) = read(view)?;
        is_new =
            !known.iter().any(|it| it.id == firing.id || (it.rule == firing.rule && it.is_open()));
        let subject = format!("trigger: {} fired", firing.rule);
        Ok(is_new.then(|| (subject, vec![file(firing), entry(item)])))
    })?;
    Ok(edited.map(|()| is_new))
}

/// Changes the recorded firing and the status of feedback in one commit; returns the changed
/// firing.
pub fn change(
    repository: &Repository,
    id: &str,
    what: &str,
    mut edit: impl FnMut(&mut Firing),
    feedback: &[(Feedback, Status)],
) -> Result<Committed<Firing>, RepositoryError> {
    let mut changed = None;
    let edited = INBOX.edit(&repository.git, |view| {
        let before =
            read(view)?.0.into_iter().find(|firing| firing.id == id).ok_or_else(unknown(id))?;
        let mut after = before.clone();
        edit(&mut after);
        changed = Some(after.clone());
        let mut files: Vec<_> =
            feedback.iter().map(|(item, status)| entry(&item.now(status.clone()))).collect();
        if after != before {
            files.push(file(&after));
        }
        let subject = format!("trigger: {} {what}", after.rule);
        Ok((!files.is_empty()).then_some((subject, files)))
    })?;
    let changed = changed.ok_or_else(unknown(id))?;
    Ok(edited.map(|()| changed))
}

fn unknown(id: &str) -> impl Fn() -> RepositoryError {
    move || RepositoryError::NoFiring { id: id.to_owned() }
}

/// Notes that a person looks after a firing.
pub fn acknowledge(
    repository: &Repository,
    id: &str,
    by: &str,
    note: Option<&str>,
) -> Result<Committed<Firing>, RepositoryError> {
    let acknowledged = Acknowledged {
        at: clock::rfc3339(clock::now()),
        by: by.to_owned(),
        note: note.map(str::to_owned),
    };
    change(
        repository,
        id,
        "acknowledged",
        |firing| {
            firing.acknowledged.get_or_insert_with(|| acknowledged.clone());
        },
        &[],
    )
}

/// Mutes a rule until a time, in place of any earlier mute; a time that is past ends it.
pub fn mute(
    repository: &Repository,
    rule: &str,
    until: Timestamp,
    by: &str,
    reason: Option<&str>,
) -> Result<Committed<Mute>, RepositoryError> {
    let mute = Mute {
        schema: MUTE_SCHEMA.to_owned(),
        rule: rule.to_owned(),
        at: clock::rfc3339(clock::now()),
        until: clock::rfc3339(until),
        by: by.to_owned(),
        reason: reason.map(str::to_owned),
    };
    let bytes = canonical::to_bytes(&serde_json::to_value(&mute).expect("a mute is JSON"));
    let edited = INBOX.edit(&repository.git, |_| {
        let subject = format!("trigger: {rule} muted until {}", mute.until);
        Ok(Some((subject, vec![(format!("{MUTES}/{rule}.json"), bytes.clone())])))
    })?;
    Ok(edited.map(|()| mute))
}
