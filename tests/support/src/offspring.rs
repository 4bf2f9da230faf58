//! Child processes that do not outlive the tests, however those end.
//!
//! The kernel's parent-death signal goes by the thread that forked. Threads of tests and of runtimes
//! come and go, so that one thread, which lives as long as the process, starts them all.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

type Order = (Command, Sender<io::Result<Child>>);

/// A command whose process gets `signal` (TERM or KILL) when this process ends.
pub fn command(signal: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// Starts it.
pub fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        let work = move || {
            for (mut command, answer) in taken {
                // A caller that no longer waits has its child killed by nobody but the kernel.
                let _ = answer.send(command.spawn());
            }
        };
        std::thread::Builder::new().name("offspring".into()).spawn(work).expect("a thread can be started");
        Mutex::new(orders)
    });
    let (answer, child) = channel();
    let order = (command, answer);
    orders.lock().unwrap_or_else(PoisonError::into_inner).send(order).expect("the thread lives for ever");
    child.recv().expect("every order is answered")
}
