//! The HOME of a confined coder. It is the coder's own, so that nothing left in it is read or run
//! by its user's programs; what the user has is seen in it.

/// Folders in which coding agents keep their settings and logins, below HOME.
const SETTINGS: [&str; 14] = [
    ".claude",
    ".codex",
    ".config/amp",
    ".config/crush",
    ".config/goose",
    ".config/mini-swe-agent",
    ".config/opencode",
    ".copilot",
    ".cursor",
    ".gemini",
    ".local/share/opencode",
    ".pi",
    ".pi/agent",
    ".qwen",
];
/// Folders of settings that are read and not written.
const READ: [&str; 10] = [
    "agents",
    "commands",
    "extensions",
    "hooks",
    "output-styles",
    "plugins",
    "prompts",
    "rules",
    "skills",
    "themes",
];
/// A file of settings at the top of HOME.
const SETTINGS_FILES: [&str; 1] = [".claude.json"];
/// Persistent data of a coder exists for the duration of one run only.
const EMPTY: [&str; 1] = [".cache"];
/// The files with the logins of coding agents, which they refresh.
pub const LOGINS: [&str; 6] = [
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".gemini/oauth_creds.json",
    ".local/share/opencode/auth.json",
    ".pi/agent/auth.json",
    ".qwen/oauth_creds.json",
];

/// The handling of an entry of the user's HOME in the coder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Seen through a link.
    Linked,
    /// A file with the same bytes, the coder's to change.
    Copied,
    /// A folder of the coder's own, with what these rules make of its entries.
    Opened,
    /// An empty folder of the coder's own.
    Empty,
    Absent,
}

/// The handling of the entry at a path below HOME.
pub fn entry(path: &str, is_folder: bool) -> Entry {
    if EMPTY.contains(&path) {
        return Entry::Empty;
    }
    if is_folder
        && SETTINGS.iter().any(|folder| {
            *folder == path || folder.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        })
    {
        return Entry::Opened;
    }
    match path.rsplit_once('/') {
        Some((folder, name)) if SETTINGS.contains(&folder) => match is_folder {
            true if READ.contains(&name) => Entry::Linked,
            // sessions, logs and whatever else grows
            true => Entry::Absent,
            false => Entry::Copied,
        },
        None if !is_folder && SETTINGS_FILES.contains(&path) => Entry::Copied,
        _ => Entry::Linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_copied_and_other_entries_are_linked() {
        let file = |path| entry(path, false);
        let folder = |path| entry(path, true);
        assert_eq!(
            [file(".gitconfig"), file(".bashrc"), file(".config/git/config")],
            [Entry::Linked; 3]
        );
        assert_eq!(
            [
                folder(".pyenv"),
                folder("bin"),
                folder(".local/bin"),
                folder(".config/git"),
                folder(".clau")
            ],
            [Entry::Linked; 5]
        );
        assert_eq!(
            [
                folder(".config"),
                folder(".local"),
                folder(".local/share"),
                folder(".claude"),
                folder(".pi/agent")
            ],
            [Entry::Opened; 5]
        );
        assert_eq!(
            [file(".claude.json"), file(".claude/settings.json"), file(".pi/agent/models.json")],
            [Entry::Copied; 3]
        );
        assert_eq!([folder(".claude/skills"), folder(".codex/prompts")], [Entry::Linked; 2]);
        assert_eq!([folder(".claude/projects"), folder(".codex/sessions")], [Entry::Absent; 2]);
        assert_eq!(folder(".cache"), Entry::Empty);
        // a file where a folder was expected
        assert_eq!(file(".claude"), Entry::Linked);
    }

    #[test]
    fn login_files_are_copied() {
        assert_eq!(LOGINS.map(|path| entry(path, false)), [Entry::Copied; LOGINS.len()]);
    }
}
