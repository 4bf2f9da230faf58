//! The migrations are embedded: a changed or added file must trigger a rebuild.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
