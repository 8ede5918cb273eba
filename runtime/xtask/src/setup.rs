//! What a build and the tests need of the machine, besides Rust: found, or installed.
//!
//! RocksDB is C++, and its bindings are made with libclang. A test reads savepoints with `pyarrow`, which shares nothing
//! with what wrote them, and one cuts the network between worker processes, with `ip`. Guests in other languages need theirs:
//! [`languages`] has what does not come from Debian.

use crate::apt::{self, runs};
use crate::languages;
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Something that a Debian package brings.
struct Need {
    /// What for, and which; in an error it follows on "there is no".
    what: &'static str,
    package: &'static str,
    is_there: fn() -> bool,
}

/// Needed to build the host. `libclang-dev` brings the compiler's own headers as well; `clang` itself is not needed.
const TO_BUILD: [Need; 2] = [
    Need { what: "C++ compiler to build RocksDB with", package: "g++", is_there: has_cpp_compiler },
    Need { what: "libclang to make RocksDB's bindings with", package: "libclang-dev", is_there: has_libclang },
];

/// Needed to build guests in all languages.
const TO_BUILD_GUESTS: [Need; 2] = [
    Need { what: "Python that makes virtual environments", package: "python3-venv", is_there: has_python_with_venv },
    Need { what: "npm", package: "npm", is_there: has_npm },
];

/// Needed by tests.
const TO_TEST: [Need; 1] =
    [Need { what: "program `ip` to test a network that fails with", package: "iproute2", is_there: has_ip }];

/// Installs what is missing of what a build needs.
pub(crate) fn to_build() -> Result<()> {
    install_missing(&TO_BUILD)
}

/// Installs what is missing of what guests in all languages need, beyond a build.
pub(crate) fn to_build_guests() -> Result<()> {
    install_missing(&TO_BUILD_GUESTS)?;
    languages::install_python()?;
    languages::go().map(|_| ())
}

/// Installs what is missing of what the tests need, beyond guests.
pub(crate) fn to_test() -> Result<()> {
    install_missing(&TO_TEST)
}

fn install_missing(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let what: Vec<&str> = missing.iter().map(|need| need.what).collect();
    apt::install(&packages, &format!("there is no {}", what.join(", and no ")), &[])?;
    if let Some(need) = missing.iter().find(|need| !(need.is_there)()) {
        bail!("apt-get has installed {}, and yet there is no {}", need.package, need.what);
    }
    Ok(())
}

fn has_cpp_compiler() -> bool {
    std::env::var_os("CXX").is_some() || runs(Command::new("c++").arg("--version"))
}

/// Whether there is a `libclang.so`: the link that comes with the headers, not the library alone.
fn has_libclang() -> bool {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let of_llvm = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_llvm =
        of_llvm.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm")));
    std::env::var_os("LIBCLANG_PATH").is_some()
        || folders.into_iter().chain(of_llvm.map(|path| path.join("lib"))).any(|it| it.join("libclang.so").exists())
}

/// It is where only root looks for programs.
fn has_ip() -> bool {
    ["ip", "/usr/sbin/ip", "/sbin/ip"].iter().any(|ip| runs(Command::new(ip).arg("-V")))
}

fn has_npm() -> bool {
    runs(Command::new("npm").arg("--version"))
}

fn has_python_with_venv() -> bool {
    python_with_venv().is_some()
}

/// The Python in use if it makes environments, or Debian's.
pub(crate) fn python_with_venv() -> Option<&'static str> {
    let makes_environments = |python: &&str| runs(Command::new(python).args(["-c", "import venv, ensurepip"]));
    ["python3", "/usr/bin/python3"].into_iter().find(makes_environments)
}

#[cfg(test)]
mod tests {
    use super::{Need, install_missing};

    #[test]
    fn nothing_is_installed_when_nothing_is_missing() {
        let need = || Need { what: "anything", package: "no-such-package", is_there: || true };
        assert!(install_missing(&[need(), need()]).is_ok());
    }
}
