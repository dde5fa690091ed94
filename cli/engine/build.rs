//! Embeds the templates anew when a file comes or goes in their folders: the embedding macro itself
//! only sees files change.
fn main() {
    for folder in ["templates", "examples"] {
        println!("cargo::rerun-if-changed=../../{folder}");
    }
}
