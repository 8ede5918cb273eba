//! Debian's packages, installed as root or with `sudo`; where neither goes, the error says what to do by hand.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Installs packages, since `missing`, a sentence without its dot. `other_ways` are commands that would do as well.
pub(crate) fn install(packages: &[&str], missing: &str, other_ways: &[&str]) -> Result<()> {
    let install = format!("install --yes {}", packages.join(" "));
    let mut ways: Vec<String> = other_ways.iter().map(|way| (*way).to_owned()).collect();
    ways.push(format!("sudo apt-get {install}"));
    let one_of = if ways.len() == 1 { "run this" } else { "run one of these" };
    let by_hand = format!("{one_of}, then try again:\n  {}", ways.join("\n  "));
    if !runs(Command::new("apt-get").arg("--version")) {
        bail!("{missing}, and there is no apt-get here to install it; where there is one, {by_hand}");
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !is_root && !runs(Command::new("sudo").arg("--version")) {
        bail!("{missing}, and installing it needs root; {by_hand}");
    }
    for arguments in ["update", &install] {
        let mut apt_get = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            apt_get.arg("apt-get");
        }
        apt_get.args(arguments.split(' ')).env("DEBIAN_FRONTEND", "noninteractive");
        eprintln!("running: {}apt-get {arguments}", if is_root { "" } else { "sudo " });
        let status = apt_get.status().context("cannot run apt-get")?;
        if !status.success() {
            bail!("{missing}, and apt-get {arguments} failed ({status}); {by_hand}");
        }
    }
    Ok(())
}

/// Whether a command can be run and says that all is well.
pub(crate) fn runs(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
}
