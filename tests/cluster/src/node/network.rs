//! The node's network namespace, with an address that is not loopback and a way out of nowhere.

use std::process::Command;

use super::{ADDRESS, Place};
use crate::commands;
use crate::error::Result;

/// Makes the namespace. What is made within it goes with it.
pub fn make(place: &Place) -> Result<()> {
    commands::run(Command::new("ip").args(["netns", "add", &place.namespace()]))?;
    let address = format!("{ADDRESS}/24");
    let steps: [&[&str]; 5] = [
        &["link", "set", "lo", "up"],
        // A bridge without members: there may be no module for a dummy.
        &["link", "add", "node0", "type", "bridge"],
        &["address", "add", &address, "dev", "node0"],
        &["link", "set", "node0", "up"],
        &["route", "add", "default", "dev", "node0"],
    ];
    for step in steps {
        commands::run(place.command("ip").args(step))?;
    }
    for (setting, needed) in [("ipv4/ip_forward", true), ("bridge/bridge-nf-call-iptables", false)] {
        let file = format!("/proc/sys/net/{setting}");
        let written = commands::run(place.command("sh").args(["-c", &format!("echo 1 >{file}")]));
        if let (Err(why), true) = (written, needed) {
            return Err(why);
        }
    }
    Ok(())
}
