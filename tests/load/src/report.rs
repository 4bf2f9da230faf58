//! The results: as JSON for programs, as Markdown for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::stat::Stat;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub struct Line {
    /// What was measured.
    pub measure: String,
    /// In what the figures are: `requests/s`, `MB`.
    pub unit: &'static str,
    /// SageAPI's figures.
    pub sageapi: Stat,
    /// What it is compared with, and its figures in the same rounds.
    pub compared: Option<(String, Stat)>,
    /// SageAPI's figure by the other's, round by round.
    pub ratio: Option<Stat>,
    /// What the median of the ratio, or else of the figure, has to reach.
    pub goal: Goal,
    /// Whether it does.
    pub met: bool,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Line {
    /// A figure on its own.
    pub fn alone(measure: impl Into<String>, unit: &'static str, sageapi: Stat, goal: Goal) -> Self {
        let met = goal.is_met(sageapi.median);
        let measure = measure.into();
        Self { measure, unit, sageapi, compared: None, ratio: None, goal, met, notes: Vec::new() }
    }

    /// Rounds of SageAPI beside rounds of something else; `None` without rounds.
    pub fn compared(
        measure: impl Into<String>,
        unit: &'static str,
        with: &str,
        rounds: &[(f64, f64)],
        goal: Goal,
    ) -> Option<Self> {
        let sageapi = Stat::of(rounds.iter().map(|(ours, _)| *ours))?;
        let other = Stat::of(rounds.iter().map(|(_, other)| *other))?;
        let ratio = Stat::of(rounds.iter().map(|(ours, other)| ours / other))?;
        Some(Self {
            measure: measure.into(),
            unit,
            sageapi,
            compared: Some((with.to_owned(), other)),
            ratio: Some(ratio),
            goal,
            met: goal.is_met(ratio.median),
            notes: Vec::new(),
        })
    }

    /// With a remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Goal {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}{unit}"),
            Self::AtMost(most) => format!("≤ {most}{unit}"),
        }
    }
}

/// Everything that a run measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Processors of the machine; servers, databases and the load share them.
    pub cores: usize,
    /// Always so: it makes both sides of a comparison slower than they are on cores of their own.
    pub load_shares_cores: bool,
    /// Whether the rounds were too short to say how fast anything is.
    pub quick: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Report {
    /// For people.
    pub fn markdown(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::from("# Benchmarks\n\n");
        let short = if self.quick { " Rounds were short (--quick): the figures say little." } else { "" };
        write!(
            text,
            "One run on {} cores, which servers, databases and the load share. Each figure is least / median / greatest \
             of rounds that alternate between the two sides; the ratio is taken round by round.{short}\n\n\
             | measure | unit | SageAPI | compared with | ratio | goal | met |\n|---|---|---|---|---|---|---|\n",
            self.cores
        )?;
        for line in &self.lines {
            let with = line
                .compared
                .as_ref()
                .map_or("-".to_owned(), |(name, stat)| format!("{name}: {}", shown(stat)));
            let ratio = line.ratio.as_ref().map_or("-".to_owned(), shown);
            let goal = line.goal.text(&if line.ratio.is_some() {
                " ×".to_owned()
            } else {
                format!(" {}", line.unit)
            });
            let met = if line.met { "yes" } else { "**no**" };
            let ours = shown(&line.sageapi);
            writeln!(
                text,
                "| {} | {} | {ours} | {with} | {ratio} | {goal} | {met} |",
                line.measure, line.unit
            )?;
        }
        text.push('\n');
        for line in self.lines.iter().filter(|line| !line.notes.is_empty()) {
            writeln!(text, "- {}: {}", line.measure, line.notes.join("; "))?;
        }
        Ok(text)
    }
}

/// Least / median / greatest, or the one figure that there is.
fn shown(stat: &Stat) -> String {
    let digits = match stat.median {
        large if large >= 1000.0 => 0,
        middling if middling >= 10.0 => 1,
        _ => 2,
    };
    #[expect(clippy::float_cmp, reason = "one round gives the same figure three times")]
    if stat.min == stat.max {
        return format!("{:.digits$}", stat.median);
    }
    format!("{:.digits$} / {:.digits$} / {:.digits$}", stat.min, stat.median, stat.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_rounds_ratios_decides() {
        let rounds = [(50.0, 100.0), (10.0, 100.0), (90.0, 100.0)];
        let met = |goal| Line::compared("m", "1/s", "other", &rounds, goal).is_some_and(|line| line.met);
        assert!(met(Goal::AtLeast(0.5)) && met(Goal::AtMost(0.5)));
        assert!(!met(Goal::AtLeast(0.51)) && !met(Goal::AtMost(0.49)));
        assert!(Line::compared("m", "1/s", "other", &[], Goal::AtMost(1.0)).is_none());
    }

    #[test]
    fn a_missed_goal_stands_out() {
        let stat = Stat { min: 1.0, median: 2.0, max: 3.0 };
        let lines = vec![Line::alone("memory", "MB", stat, Goal::AtMost(1.0)).note("so it is")];
        let text = Report { cores: 2, load_shares_cores: true, quick: false, lines }.markdown().unwrap();
        assert!(text.contains("| memory | MB | 1.00 / 2.00 / 3.00 | - | - | ≤ 1 MB | **no** |"), "{text}");
        assert!(text.ends_with("- memory: so it is\n"), "{text}");
    }
}
