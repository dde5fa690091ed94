//! Embeds the templates anew when a file comes or goes in their folders: the embedding macro itself only sees files change.
#![expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    for folder in ["templates/runtime/agent_runtime", "templates/minimal", "examples"] {
        println!("cargo::rerun-if-changed=../{folder}");
    }
}
