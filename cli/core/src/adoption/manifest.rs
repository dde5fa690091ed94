//! The `agent.toml` of an adopted repository.

use semver::Version;

/// The manifest of an adopted repository.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest<'a> {
    pub name: &'a str,
    /// Where it is not the usual one.
    pub first_version: Option<&'a Version>,
    pub command: &'a [String],
    pub requires: &'a str,
    pub lock: Option<&'a str>,
    /// A project file, and its version where that is computed.
    pub project: Option<&'a str>,
    pub version: Option<&'a str>,
    pub node_lock: Option<&'a str>,
    /// `NAME` or `NAME=value`.
    pub env: &'a [String],
    pub start_s: u32,
    pub call_s: u32,
}

impl Manifest<'_> {
    /// Its server as it is, one tier that judges all, and no Tuner yet.
    pub fn text(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let words = self.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let line = |key: &str, value: Option<&str>| {
            value.map(|value| format!("{key} = {}\n", quoted(value))).unwrap_or_default()
        };
        let env = self.env.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let env = if env.is_empty() { env } else { format!("env = [{env}]\n") };
        let node = self
            .node_lock
            .map(|lock| format!("[node]\n{}\n", line("lock", Some(lock))))
            .unwrap_or_default();
        format!(
            "schema = \"agent/manifest@1\"\n\
            name = {}\n\
            {}\n\
            [runner]\n\
            command = [{words}]\n\
            {env}\n\
            [python]\n\
            {}{}{}{}\n\
            {node}[promote]\n\
            tier = \"micro\"\n\
            gate = \"not-worse\"\n\
            margin = 0.0\n\n\
            [release]\n\
            tier = \"micro\"\n\
            gate = \"not-worse\"\n\n\
            [limits]\n\
            start_s = {}\n\
            call_s = {}\n",
            quoted(self.name),
            line("first_version", self.first_version.map(ToString::to_string).as_deref()),
            line("requires", Some(self.requires)),
            line("lock", self.lock),
            line("project", self.project),
            line("version", self.version),
            self.start_s,
            self.call_s,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_manifest_parses() {
        let command = ["python", "-c", "print(\"hi\\n\")"].map(str::to_owned);
        let manifest = Manifest {
            name: "über",
            first_version: Some(&Version::new(1, 4, 2)),
            command: &command,
            requires: ">=3.11",
            lock: Some("requirements.lock"),
            project: Some("pyproject.toml"),
            version: Some("1.4"),
            node_lock: Some("package-lock.json"),
            env: &["A_KEY".to_owned(), "MODE=fast".to_owned()],
            start_s: 30,
            call_s: 30,
        };
        let read =
            crate::formats::manifest::Manifest::parse(&manifest.text(), "agent.toml").unwrap();
        assert_eq!((read.runner.command.as_slice(), read.tuner), (&command[..], None));
        assert_eq!(
            (read.python.lock.as_deref(), read.python.project.as_deref()),
            (Some("requirements.lock"), Some("pyproject.toml"))
        );
        assert_eq!(read.node.unwrap().lock, "package-lock.json");
        assert_eq!(
            read.runner.env.iter().map(|one| one.value.as_deref()).collect::<Vec<_>>(),
            [None, Some("fast")]
        );
        assert_eq!(read.first_version, Some(Version::new(1, 4, 2)));
        let smallest = Manifest {
            first_version: None,
            env: &[],
            lock: None,
            project: None,
            version: None,
            node_lock: None,
            ..manifest
        };
        crate::formats::manifest::Manifest::parse(&smallest.text(), "agent.toml").unwrap();
    }
}
