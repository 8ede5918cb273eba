//! Two machines, as far as the network can tell: network namespaces with a cable between them.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const HINT: &str = "network namespaces need root, and iproute2: apt-get install -y iproute2";

/// The two, removed when dropped.
pub struct Network {
    names: [String; 2],
}

impl Network {
    /// Machines with these addresses, of one network of 256.
    ///
    /// # Panics
    /// Without root or `ip`.
    pub fn new(addresses: [&str; 2]) -> Network {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("tidewheel-{}-{count}-{side}", std::process::id());
        let network = Network { names: [0, 1].map(name) };
        let [zero, one] = &network.names;
        ip(&["netns", "add", zero]);
        ip(&["netns", "add", one]);
        ip(&["link", "add", "cable", "netns", zero, "type", "veth", "peer", "name", "cable", "netns", one]);
        for (name, address) in network.names.iter().zip(addresses) {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "cable"]);
            ip(&["-n", name, "link", "set", "cable", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        network
    }

    /// Starts a program on machine `index`. The process is the program itself, not one that waits for it.
    pub fn command(&self, index: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[index]]).arg(program);
        command
    }

    /// Pulls the cable: nothing arrives any more, and nobody is told.
    ///
    /// # Panics
    /// If it cannot be pulled.
    pub fn cut(&self) {
        ip(&["-n", &self.names[0], "link", "set", "cable", "down"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            // What has not been made cannot be removed; a failed test says so itself.
            let _ = Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status();
        }
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap_or_else(|error| panic!("`ip`: {error}; {HINT}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip {}` failed: {said}; {HINT}", arguments.join(" "));
}
