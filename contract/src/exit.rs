/// How a command ended. The numbers follow `sysexits.h` where it has a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The command did what it was asked.
    Done = 0,
    /// Wrong usage or configuration, or refused by a migration's verdict: a retry would fail again.
    Usage = 64,
    /// `verify` found a difference.
    Difference = 65,
    /// A required service, usually the database, is unavailable.
    Unavailable = 69,
    /// An internal error.
    Internal = 70,
    /// Another process holds a lock; try again later.
    TryAgain = 75,
}

impl ExitCode {
    /// The number the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn the_numbers_are_those_of_the_contract() {
        use ExitCode::{Difference, Done, Internal, TryAgain, Unavailable, Usage};
        let codes = [Done, Usage, Difference, Unavailable, Internal, TryAgain].map(ExitCode::code);
        assert_eq!(codes, [0, 64, 65, 69, 70, 75]);
    }
}
