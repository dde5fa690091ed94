//! Embeds the templates anew when a file comes or goes in their folders: the embedding macro itself
//! only sees files change.
fn main() {
    for folder in [
        "templates/runtime/agent_runtime",
        "templates/minimal",
        "templates/inspirations",
        "examples",
    ] {
        println!("cargo::rerun-if-changed=../../{folder}");
    }
}
