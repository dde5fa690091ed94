//! Folding the Journal that is found, and cutting off what a kill left at its end.

use super::error::StagingError;
use super::file::JournalFile;
use super::places::Places;
use super::view::Notice;
use agent_core::state::journal::{self, Fold, Folded, JournalError, Tail};

/// The length of the header and the complete groups that were folded.
pub(super) fn whole(fold: &Fold) -> usize {
    usize::try_from(fold.end).unwrap_or(usize::MAX)
}

pub(super) fn fold_whole(
    places: &Places,
    bytes: &[u8],
) -> Result<(Fold, Vec<Folded>, Tail), StagingError> {
    let mut fold = Fold::begin(bytes).map_err(places.damaged())?;
    let header = whole(&fold);
    let (folded, tail) = fold.extend(&bytes[header..]).map_err(places.damaged())?;
    Ok((fold, folded, tail))
}

/// Folds a Journal that was just opened under the lock, and cuts off what a kill or a power cut
/// left at its end.
pub(super) fn recover(
    places: &Places,
    file: &JournalFile,
    bytes: &[u8],
    notices: &mut Vec<Notice>,
) -> Result<(Fold, Vec<Folded>), StagingError> {
    let (fold, folded, _) = fold_whole(places, bytes)?;
    let rest = &bytes[whole(&fold)..];
    // a power cut may keep a later page of an unfinished write and lose an earlier one, so the
    // complete reserve is checked
    if !journal::is_reserved(rest) {
        if journal::holds_a_group(rest) {
            return Err(places.damaged()(unreadable_group(fold.end)));
        }
        let torn =
            rest.iter().rposition(|byte| !matches!(byte, 0 | b'\n')).map_or(0, |last| last + 1);
        file.cut(fold.end)?;
        notices.push(Notice::TornTail { bytes: torn });
    }
    Ok((fold, folded))
}

pub(super) fn unreadable_group(offset: u64) -> JournalError {
    JournalError::Damaged {
        offset,
        what: "an unreadable group followed by complete ones".to_owned(),
    }
}
