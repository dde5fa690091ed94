//! The POSIX shell script that git runs. It replaces itself by the binary with `exec` and starts no
//! other process.

use crate::event::HookName;
use std::path::Path;

/// The line by which a shim of `agent` is recognised.
pub const MARK: &str = "# agent: hook shim, written by `agent hooks install`";

/// The link to the binary in the common git directory. A tracked shim uses it, since it must not
/// contain a path of one machine.
pub const LINK: &str = "agent-binary";

/// Where a shim looks for the binary before PATH.
#[derive(Debug, Clone, Copy)]
pub enum Binary<'a> {
    /// Its absolute path, for an untracked shim.
    At(&'a Path),
    /// The link in the common git directory, for a tracked shim.
    Linked,
}

/// The suffix of the hook that existed before a shim and is still run.
pub const BEFORE: &str = ".before-agent";

/// The folder in the common git directory with the hooks that ran before `core.hooksPath` was
/// changed.
pub const BEFORE_FOLDER: &str = "agent-before";

/// The shim of one hook.
pub fn text(hook: HookName, binary: Binary<'_>) -> String {
    let find = match binary {
        Binary::At(path) => format!("agent={}\n", quoted(&path.to_string_lossy())),
        Binary::Linked => format!("{FIND_COMMON}agent=$common/{LINK}\n"),
    };
    format!(
        "#!/bin/sh\n\
        {MARK}\n\
        # AGENT_SKIP_HOOKS=1 skips it once; `agent hooks uninstall` takes it away.\n\
        {find}[ -x \"$agent\" ] && exec \"$agent\" hook --from \"$0\" {hook} \"$@\"\n\
        command -v agent >/dev/null && exec agent hook --from \"$0\" {hook} \"$@\"\n\
        {OTHERWISE}"
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
echo \"agent: run \\`agent hooks install\\` again, or skip the hook once with AGENT_SKIP_HOOKS=1\" \
>&2
exit 1
";

/// Quotes a word for sh.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a hook file is a shim of `agent`.
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
