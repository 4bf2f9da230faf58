use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sageapi-upstream-sim"));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_in_one_line_and_ends_well_on_sigterm() {
    let mut process = Process(command().args(["--users", "20"]).spawn().unwrap());
    let mut stdout = BufReader::new(process.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    for port in ["listen", "control"] {
        let address: SocketAddr = ready[port].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback());
        TcpStream::connect(address).unwrap();
    }
    let told = Command::new("kill").arg(process.0.id().to_string()).status().unwrap();
    assert!(told.success());
    assert!(process.0.wait().unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "stdout carries the one line alone");
}

#[test]
fn it_prints_its_world_without_listening() {
    let output = command().args(["--print-world", "json", "--customers", "3"]).output().unwrap();
    assert!(output.status.success());
    let world: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(world["customers"], serde_json::json!(["org_demo_0001", "org_demo_0002", "org_demo_0003"]));
    assert_eq!(world["users"][0]["id"], "user_demo_0001");
    assert_eq!(world["counts"]["users"], 1000);
}

#[test]
fn an_address_in_use_ends_it_with_69() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = command().args(["--listen", &listen]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(output.stdout.is_empty());
}
