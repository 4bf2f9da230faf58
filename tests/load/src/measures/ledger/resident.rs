//! The server's resident memory while its ledger grows and is worked with.

use crate::Failure;
use crate::child::Child;
use crate::measures::{megabytes, no_rounds};
use crate::report::{Goal, Line};
use crate::stat::Stat;

/// Looks at one server, in their order.
#[derive(Default)]
pub struct Resident {
    /// While so many bookings had been made.
    filling: Vec<(usize, u64)>,
    /// After what was done then.
    later: Vec<(&'static str, u64)>,
}

impl Resident {
    /// After so many of the bookings that fill the ledger.
    pub fn at(&mut self, server: &Child, bookings: usize) -> Result<(), Failure> {
        self.filling.push((bookings, server.resident()?));
        Ok(())
    }

    /// After something else.
    pub fn after(&mut self, server: &Child, what: &'static str) -> Result<(), Failure> {
        self.later.push((what, server.resident()?));
        Ok(())
    }

    /// The greatest of all looks, and how much the last is above the one at a quarter of so many bookings.
    pub fn lines(&self, server: &Child, bookings: usize, kind: &str) -> Result<[Line; 2], Failure> {
        let quarters = (1..=4).map(|quarter| {
            let look = self.filling.iter().find(|(made, _)| made * 4 >= bookings * quarter);
            look.map(|(_, bytes)| megabytes(*bytes)).ok_or_else(no_rounds)
        });
        let quarters = quarters.collect::<Result<Vec<_>, _>>()?;
        let filling = self.filling.iter().map(|(_, bytes)| *bytes);
        let later = self.later.iter().map(|(_, bytes)| *bytes);
        let greatest = megabytes(filling.chain(later).max().ok_or_else(no_rounds)?);
        let (_, end) = self.later.last().ok_or_else(no_rounds)?;
        let end = megabytes(*end);
        let peak = megabytes(server.peak()?);

        let way: Vec<_> = quarters.iter().map(|figure| format!("{figure:.1}")).collect();
        let after = |(what, bytes): &(&str, u64)| format!("{:.1} MB after {what}", megabytes(*bytes));
        let rest: Vec<_> = self.later.iter().map(after).collect();
        let stat = |figure| Stat::of([figure]).ok_or_else(no_rounds);
        let name = format!("greatest resident memory during and after {bookings} bookings, {kind}");
        let growth =
            format!("growth of resident memory from a quarter of {bookings} bookings to the end, {kind}");
        Ok([
            Line::alone(name, "MB", stat(greatest)?, Goal::AtMost(80.0))
                .note(format!("{} MB at a quarter, a half, three quarters and all of them", way.join(", ")))
                .note(rest.join(", "))
                .note(format!("the peak of the process, between the looks too: {peak:.1} MB")),
            Line::alone(growth, "MB", stat(end - quarters[0])?, Goal::AtMost(16.0))
                .note(format!("{:.1} MB at a quarter, {end:.1} MB at the end", quarters[0])),
        ])
    }
}
