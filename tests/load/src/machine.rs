//! Whether the machine itself was at its speed. On a virtual one others may take most of a processor for a while without
//! any sign of it within; whatever is measured meanwhile is slow, and so is what has waited for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// How often the machine is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(2);
/// Steps of the computation: some 50 microseconds.
const STEPS: u32 = 20_000;
/// So many times the usual processor time for the same computation is slow.
const SLOW: u32 = 3;
/// Looks that are slow belong to one stretch if they are so far apart at most.
const TOGETHER: Duration = Duration::from_millis(20);

/// A time in which the machine was slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The last look before it.
    pub start: Instant,
    /// The last look within it.
    pub end: Instant,
}

/// One look: when it was over, and the processor time that the computation took.
type Look = (Instant, Duration);

/// Looks at the machine until it is stopped.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Look>>,
}

/// What a watch saw.
pub struct Seen {
    /// Its time.
    pub watched: Duration,
    /// When the machine was slow.
    pub slow: Vec<Stretch>,
}

impl Watch {
    /// Starts to look, on a thread of its own.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut looks = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                looks.push(look());
                thread::sleep(SAMPLE_INTERVAL);
            }
            looks
        });
        Self { stop, thread }
    }

    /// What it saw.
    pub fn stop(self) -> Result<Seen, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.thread.join().map_err(|_| "the watch of the machine ended")?;
        let watched =
            looks.first().zip(looks.last()).map(|(first, last)| last.0 - first.0).unwrap_or_default();
        Ok(Seen { watched, slow: stretches(&looks) })
    }
}

impl Seen {
    /// Several watches as one.
    pub fn together(watches: Vec<Self>) -> Self {
        let watched = watches.iter().map(|seen| seen.watched).sum();
        Self { watched, slow: watches.into_iter().flat_map(|seen| seen.slow).collect() }
    }

    /// The share of the time in percent, and the longest stretch.
    pub fn slowness(&self) -> (f64, Duration) {
        let spans = || self.slow.iter().map(|stretch| stretch.end - stretch.start);
        let all: Duration = spans().sum();
        let share = all.as_secs_f64() / self.watched.as_secs_f64().max(f64::MIN_POSITIVE) * 100.0;
        (share, spans().max().unwrap_or_default())
    }
}

/// Always the same computation. The time of its thread does not count the turns of others on this machine, but of what
/// takes the processor from outside it knows nothing.
fn look() -> Look {
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let before = spent();
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..STEPS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
    (Instant::now(), spent().saturating_sub(before))
}

fn stretches(looks: &[Look]) -> Vec<Stretch> {
    let mut times: Vec<_> = looks.iter().map(|(_, took)| *took).collect();
    times.sort_unstable();
    let Some(usual) = times.get(times.len() / 2) else { return Vec::new() };
    let mut found: Vec<Stretch> = Vec::new();
    for pair in looks.windows(2) {
        let [(before, _), (at, took)] = *pair else { continue };
        if took < *usual * SLOW {
            continue;
        }
        match found.last_mut() {
            Some(last) if before <= last.end + TOGETHER => last.end = at,
            _ => found.push(Stretch { start: before, end: at }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_looks_that_are_near_are_one_stretch() {
        let zero = Instant::now();
        let ms = |n: u64| zero + Duration::from_millis(n);
        let took = |at: u64| match at {
            100..=150 | 160 | 500 => Duration::from_micros(400),
            _ => Duration::from_micros(50),
        };
        let looks: Vec<_> = (0..500).map(|n| (ms(n * 2), took(n * 2))).collect();
        let expected = [(98, 160), (498, 500)].map(|(start, end)| Stretch { start: ms(start), end: ms(end) });
        assert_eq!(stretches(&looks), expected);
        let seen = Seen { watched: Duration::from_secs(1), slow: expected.to_vec() };
        let (share, longest) = seen.slowness();
        assert!((share - 6.4).abs() < 1e-9 && longest == Duration::from_millis(62));
        assert_eq!(stretches(&[]), []);
    }

    #[test]
    fn a_watch_looks_until_it_is_stopped() {
        let watch = Watch::start();
        thread::sleep(Duration::from_millis(50));
        let seen = watch.stop().unwrap();
        assert!(seen.watched > Duration::ZERO && seen.watched < Duration::from_secs(20));
    }
}
