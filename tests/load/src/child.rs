//! Child processes, and what they cost: memory and processor time as the kernel counts them.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::generator::whole_length;

/// Clock ticks of /proc a second; Linux has fixed it for programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running program; killed when dropped, and by the kernel if this process ends without that.
pub struct Child {
    process: Process,
    log: PathBuf,
    name: String,
}

impl Child {
    /// Starts a program. What it writes to standard error goes to `<folder>/<name>.log`; its standard output is
    /// handed over by [`Child::first_line`].
    pub fn start(
        program: &Path,
        args: &[&str],
        env: &[(String, String)],
        folder: &Path,
    ) -> Result<Self, Failure> {
        let name = program.file_name().and_then(|name| name.to_str()).unwrap_or("program").to_owned();
        let log = folder.join(format!("{name}.log"));
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(env.iter().map(|(key, value)| (key, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|error| format!("{}: {error}; build it with: make bench", program.display()))?;
        Ok(Self { process, log, name })
    }

    /// The first line of its standard output.
    pub fn first_line(&mut self) -> Result<String, Failure> {
        let mut out = self.process.stdout.take().ok_or("its output was taken already")?;
        let (mut line, mut byte) = (Vec::new(), [0]);
        while out.read(&mut byte)? == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        // Kept open, so that what it prints later has a place to go.
        self.process.stdout = Some(out);
        if line.is_empty() { Err(self.ended("said nothing")) } else { Ok(String::from_utf8(line)?) }
    }

    /// Waits until a port of it answers `GET path` with 200.
    pub fn await_ok(&mut self, address: SocketAddr, path: &str, within: Duration) -> Result<(), Failure> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if matches!(get(address, path), Ok((200, _))) {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() {
                return Err(self.ended("ended"));
            }
            sleep(Duration::from_micros(500));
        }
        Err(self.ended(&format!("was not ready within {within:?}")))
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> Result<u64, Failure> {
        self.status("VmRSS:")
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak(&self) -> Result<u64, Failure> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64, Failure> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no such field in /proc")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    /// Seconds of processor time that it has used.
    pub fn processor_seconds(&self) -> Result<f64, Failure> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // After the name, which is in parentheses: the 12th and 13th field are user and system time.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let fields: Vec<f64> = rest.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
        Ok(fields.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<(), Failure> {
        Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Some(status) = self.process.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(self.ended(&format!("ended with {status}")))
                };
            }
            sleep(Duration::from_millis(2));
        }
        Err(self.ended("did not end"))
    }

    fn ended(&self, how: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(5).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        format!("{} {how}: {}", self.name, tail.join(" | ")).into()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Runs a program to its end; what it printed.
pub fn output(
    program: &Path,
    args: &[&str],
    env: &[(String, String)],
    folder: &Path,
) -> Result<String, Failure> {
    let run = Command::new(program)
        .args(args)
        .envs(env.iter().map(|(key, value)| (key, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}; build it with: make bench", program.display()))?;
    let told = |status: ExitStatus| {
        format!(
            "{} {}: {status}: {}",
            program.display(),
            args.join(" "),
            String::from_utf8_lossy(&run.stderr)
        )
    };
    if run.status.success() { Ok(String::from_utf8(run.stdout)?) } else { Err(told(run.status).into()) }
}

/// A port of this machine that nobody listens on.
pub fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// One GET: status and body.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String), Failure> {
    exchange(address, format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())
}

/// One POST of JSON: status and body.
pub fn post(address: SocketAddr, path: &str, json: &str) -> Result<(u16, String), Failure> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", json.len());
    exchange(address, (head + json).as_bytes())
}

/// Sends a request and reads its answer: status and body.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Result<(u16, String), Failure> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    exchange_on(&mut stream, request)
}

/// The same over a connection that there is, for one request after another.
pub fn exchange_on(stream: &mut TcpStream, request: &[u8]) -> Result<(u16, String), Failure> {
    stream.write_all(request)?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while whole_length(&answer).is_none_or(|whole| answer.len() < whole) {
        match stream.read(&mut part)? {
            0 => break,
            n => answer.extend_from_slice(&part[..n]),
        }
    }
    let text = String::from_utf8(answer)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("an answer broke off")?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("an answer has no status")?;
    Ok((status, body.to_owned()))
}
