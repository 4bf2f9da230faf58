//! How far long work is: a line on standard error, on a terminal alone.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The line goes on counting the time while the work gives no sign.
const REDRAW_INTERVAL: Duration = Duration::from_millis(250);

const OF_UNKNOWN: &str = "{msg}: {human_pos}, {rate}, {elapsed} so far";
const OF_KNOWN: &str = "{msg}: {human_pos} of {human_len}, {rate}, {eta} left";
const STEP: &str = "{msg}, {human_pos} of {human_len} done, {elapsed} so far";

/// A line of progress, gone when dropped. Nothing is shown if standard error is not a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    pub fn new(what: &'static str, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar =
            ProgressBar::with_draw_target(None, target).with_message(what).with_style(style(OF_UNKNOWN));
        if !bar.is_hidden() {
            bar.enable_steady_tick(REDRAW_INTERVAL);
        }
        Self(bar)
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        !self.0.is_hidden()
    }

    /// There is so much to be done.
    pub fn expect(&self, total: u64) {
        self.0.set_style(style(OF_KNOWN));
        self.0.set_length(total);
        self.0.tick();
    }

    /// So much is done.
    pub fn reached(&self, done: u64) {
        self.0.set_position(done);
    }

    /// Begins a step; `done` of `total` are complete. Steps differ in length, so no speed is shown.
    pub fn step(&self, what: String, done: u64, total: u64) {
        self.0.set_message(what);
        self.0.set_style(style(STEP));
        self.0.set_length(total);
        self.0.set_position(done);
        self.0.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        // A line that cannot be written is not shown.
        let _ = write!(text, "{:.0}/s", state.per_sec());
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("rate", rate)
}
