//! What was measured, and what it must be.

use std::path::Path;

/// One line of the table.
struct Figure {
    what: String,
    is: String,
    must: String,
    kept: bool,
}

/// The table at the end.
#[derive(Default)]
pub struct Figures {
    all: Vec<Figure>,
}

impl Figures {
    /// A number that may be at most `most`.
    pub fn at_most(&mut self, what: &str, is: f64, most: f64, unit: &str) {
        let shown = |number: f64| {
            if number.fract() == 0.0 { format!("{number}{unit}") } else { format!("{number:.1}{unit}") }
        };
        self.all.push(Figure {
            what: what.to_owned(),
            is: shown(is),
            must: format!("at most {}", shown(most)),
            kept: is <= most,
        });
    }

    /// Something worth knowing.
    pub fn note(&mut self, what: &str, is: String) {
        self.all.push(Figure { what: what.to_owned(), is, must: String::new(), kept: true });
    }

    /// Prints the table; whether everything is as it must be.
    pub fn print(&self) -> bool {
        let width = self.all.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
        for Figure { what, is, must, kept } in &self.all {
            let mark = if *kept { "" } else { "  <== not reached" };
            println!("  {what:width$}  {is:>12}  {must}{mark}");
        }
        self.all.iter().all(|figure| figure.kept)
    }
}

/// Resident memory, in MB, of every process of this name in the node's pods.
pub fn resident(program: &str, node: &str) -> Vec<f64> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        // The kernel keeps 15 characters of a name.
        let name = program.get(..15).unwrap_or(program);
        if read("comm").trim() != name || !read("cgroup").contains(&format!("/sageapi-{node}/")) {
            continue;
        }
        let status = read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
        found.extend(kilobytes.map(|kilobytes| kilobytes * 1024.0 / 1e6));
    }
    found
}

/// Size of a file in MB.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn size(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1e6)
}
