//! The small POSIX script that git runs: it hands over to the binary, and starts no other process
//! on the way.

use crate::event::HookName;
use std::path::Path;

/// By this line a shim of ours is known.
pub const MARK: &str = "# agent: hook shim, written by `agent hooks install`";

/// The link to the binary beside the repository's objects; a shim that is tracked cannot name a
/// path of one machine.
pub const LINK: &str = "agent-binary";

/// Where a shim finds the binary before it looks on PATH.
#[derive(Debug, Clone, Copy)]
pub enum Binary<'a> {
    /// Its absolute path, for a shim that only this machine has.
    At(&'a Path),
    /// The link in the common git directory, for a shim that is tracked.
    Linked,
}

/// Beside a shim, by this ending, lies the hook that was there before it and still runs.
pub const BEFORE: &str = ".before-agent";

/// In the common git directory: what ran before the hooks folder itself was changed, by name of
/// hook.
pub const BEFORE_FOLDER: &str = "agent-before";

/// The shim of one hook.
pub fn text(hook: HookName, binary: Binary<'_>) -> String {
    let find = match binary {
        Binary::At(path) => format!("agent={}\n", quoted(&path.to_string_lossy())),
        Binary::Linked => format!("{FIND_COMMON}agent=$common/{LINK}\n"),
    };
    format!(
        "#!/bin/sh\n{MARK}\n# AGENT_SKIP_HOOKS=1 skips it once; `agent hooks uninstall` takes it \
        away.\n{find}\
         [ -x \"$agent\" ] && exec \"$agent\" hook --from \"$0\" {hook} \"$@\"\n\
         command -v agent >/dev/null && exec agent hook --from \"$0\" {hook} \"$@\"\n{OTHERWISE}"
    )
}

const FIND_COMMON: &str = "\
common=${GIT_DIR:-.git}
[ -f \"$common\" ] && read -r _ common <\"$common\"
if [ -f \"$common/commondir\" ]; then
  read -r up <\"$common/commondir\"
  case $up in /*) common=$up ;; *) common=$common/$up ;; esac
fi
";

const OTHERWISE: &str = "\
if [ -n \"${AGENT_SKIP_HOOKS:-}\" ] && [ \"$AGENT_SKIP_HOOKS\" != 0 ]; then exit 0; fi
echo \"agent: this hook cannot find \\`agent\\`, neither at $agent nor on PATH\" >&2
echo \"agent: run \\`agent hooks install\\` again, or skip the hook once with AGENT_SKIP_HOOKS=1\" >&2
exit 1
";

/// A word of sh, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a hook file is one of our shims.
pub fn is_ours(text: &[u8]) -> bool {
    text.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_quotes_stays_one_word() {
        let shim = text(HookName::PreCommit, Binary::At(Path::new("/o'clock/a b/agent")));
        assert!(shim.contains("agent='/o'\\''clock/a b/agent'\n"), "{shim}");
        assert!(is_ours(shim.as_bytes()));
        assert!(!is_ours(b"#!/bin/sh\nexit 0\n"));
    }
}
