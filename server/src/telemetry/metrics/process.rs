//! What the kernel knows of this process, read from /proc at each scrape. Elsewhere than on Linux nothing is shown.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Clock ticks per second in /proc: a constant of Linux's interface to programs, whatever its own clock is.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct ProcessMetrics {
    proc: PathBuf,
}

impl ProcessMetrics {
    pub(super) fn new(proc: PathBuf) -> Self {
        Self { proc }
    }

    /// Bytes of resident memory.
    fn resident_memory(&self) -> Option<i64> {
        let status = fs::read_to_string(self.proc.join("self/status")).ok()?;
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        kibibytes.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
    }

    fn open_fds(&self) -> Option<i64> {
        let entries = fs::read_dir(self.proc.join("self/fd")).ok()?.count();
        // One of them is the directory being read.
        i64::try_from(entries.saturating_sub(1)).ok()
    }

    /// Seconds of processor time used, and the start as seconds since the epoch.
    fn times(&self) -> Option<(f64, f64)> {
        let stat = fs::read_to_string(self.proc.join("self/stat")).ok()?;
        // The program's name, in brackets, may hold anything. What follows starts with field 3.
        let (_, fields) = stat.rsplit_once(')')?;
        let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<f64>().ok();
        let used = (field(14)? + field(15)?) / TICKS;
        let since_boot = field(22)? / TICKS;
        let boot = fs::read_to_string(self.proc.join("stat")).ok()?;
        let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some((used, boot + since_boot))
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut show = |name, help, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        if let Some(bytes) = self.resident_memory() {
            show("process_resident_memory", "Resident memory", Some(&Unit::Bytes), &ConstGauge::new(bytes))?;
        }
        if let Some(fds) = self.open_fds() {
            show("process_open_fds", "Open file descriptors", None, &ConstGauge::new(fds))?;
        }
        if let Some((used, start)) = self.times() {
            show("process_cpu", "Processor time used", Some(&Unit::Seconds), &ConstCounter::new(used))?;
            show(
                "process_start_time",
                "Start, since the epoch",
                Some(&Unit::Seconds),
                &ConstGauge::new(start),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A /proc of files with known content.
    fn proc() -> (tempfile::TempDir, ProcessMetrics) {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("self");
        fs::create_dir_all(own.join("fd")).unwrap();
        for fd in 0..4 {
            fs::write(own.join("fd").join(fd.to_string()), "").unwrap();
        }
        fs::write(own.join("status"), "Name:\tx\nVmRSS:\t    2048 kB\n").unwrap();
        // Fields 14 and 15 are 150 and 50 ticks, field 22 is 1000 ticks.
        let stat = format!("7 (a) b) S {} 150 50 {} 1000 9 9\n", ["1"; 10].join(" "), ["0"; 6].join(" "));
        fs::write(own.join("stat"), stat).unwrap();
        fs::write(directory.path().join("stat"), "cpu 1 2 3\nbtime 1780000000\n").unwrap();
        let metrics = ProcessMetrics::new(directory.path().to_owned());
        (directory, metrics)
    }

    #[test]
    fn files_of_proc_are_read() {
        let (_directory, metrics) = proc();
        assert_eq!(metrics.resident_memory(), Some(2048 * 1024));
        assert_eq!(metrics.open_fds(), Some(3));
        assert_eq!(metrics.times(), Some((2.0, 1_780_000_010.0)));
    }

    #[test]
    fn without_proc_nothing_is_shown() {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(ProcessMetrics::new("/nonexistent".into())));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(text, "# EOF\n");
    }
}
