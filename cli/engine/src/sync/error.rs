//! Why a clone is not synchronised with its remote.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_core::formats::object_id::ObjectId;
use agent_core::version::tag;
use semver::Version;

#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    // remotes
    #[error("there is no remote `{named}`{}", match known.as_slice() {
        [] => ": this repository has none".to_owned(),
        known => format!("; there are {}", known.join(", ")),
    })]
    NoRemote { named: String, known: Vec<String> },
    #[error("there are several remotes: {}", known.join(", "))]
    Several { known: Vec<String> },

    // what they serve
    #[error("{whose} is at {}, which is not a version", commit.short())]
    NotAVersion { whose: String, commit: ObjectId },
    #[error("active of {remote} is at {served}, which is not a valid version: {why}")]
    Unsound { remote: String, served: String, why: String },
    #[error("{remote} has the tag {} on {}, which its active does not have; here it is {}",
        tag(version), there.short(), here.short())]
    TagTaken { remote: String, version: Version, there: ObjectId, here: ObjectId },
    #[error(
        "active of {remote} is at {}, which this clone lacks: a version made now would fork \
        history",
        there.short()
    )]
    Behind { remote: String, there: ObjectId },

    // what is to be done
    #[error("{why}")]
    Conflict { why: String, hint: String },
    #[error("other clones kept moving `active`")]
    Outrun,
}

impl Diagnose for SyncError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NoRemote { .. } | Self::Several { .. } => FailureKind::Usage,
            Self::NotAVersion { .. } | Self::Unsound { .. } => FailureKind::Input,
            Self::TagTaken { .. } | Self::Behind { .. } | Self::Conflict { .. } | Self::Outrun => {
                FailureKind::Conflict
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRemote { .. } => return None,
            Self::Several { .. } => "name one: agent sync REMOTE".to_owned(),
            Self::NotAVersion { .. } => {
                "`agent doctor` reports the previous value of `active`, and how to restore it"
                    .to_owned()
            }
            Self::Unsound { remote, .. } => format!(
                "nothing was changed; `agent verify` in the clone that pushed it to {remote} shows \
                more"
            ),
            Self::TagTaken { remote, version, .. } => format!(
                "if nothing uses it: git push {remote} --delete {}, then agent sync",
                tag(version)
            ),
            Self::Behind { .. } => "agent sync, then run it again".to_owned(),
            Self::Conflict { hint, .. } => hint.clone(),
            Self::Outrun => "run it again; nothing was lost".to_owned(),
        })
    }
}
