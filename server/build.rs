//! The migrations are embedded: a changed or added file must compile them in anew.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
