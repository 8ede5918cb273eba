//! Memory over a long run: it must not grow, neither with a fast sink nor with a slow one.

use crate::job;
use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_tests::tidewheel;

/// When memory counts as steady.
const STEADY_AFTER: Duration = Duration::from_secs(2);

/// Prints, for q0, the steady resident memory and the most after that.
pub(crate) fn run() {
    println!("| run | steady MiB | most after MiB |\n|---|---|---|");
    let (steady, most) = watch(&job("q0", "events-max = 100000000", "connector = \"discard\""), None);
    println!("| q0, 100 M records, discard | {steady:.0} | {most:.0} |");
    // JSON, because stdout takes lines; it is read at 64 MiB a second, a fraction of what the job could write.
    let job = job("q0", "events-max = 4000000", "connector = \"stdout\"").replace("\"packed\"", "\"json\"");
    let (steady, most) = watch(&job, Some(64 << 20));
    println!("| q0, stdout read at 64 MiB/s | {steady:.0} | {most:.0} |");
}

/// Runs a job and looks at its memory until it ends; reads its stdout at so many bytes a second, if any.
fn watch(text: &str, bytes_per_second: Option<usize>) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("job.toml");
    fs::write(&file, text).expect("a file can be written");
    let mut program = tidewheel();
    program.arg("run").arg(&file).arg("--quiet").stdout(Stdio::piped());
    let mut child = program.spawn().expect("the program starts");
    let stdout = child.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || drain(stdout, bytes_per_second));
    let started = Instant::now();
    let (mut steady, mut most) = (0.0, 0.0f64);
    while child.try_wait().expect("a child can be waited for").is_none() {
        if let Some(resident) = resident_mib(&child) {
            match started.elapsed() < STEADY_AFTER {
                true => steady = resident,
                false => most = most.max(resident),
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    reader.join().expect("the reader does not panic");
    (steady, most)
}

fn drain(mut stdout: impl Read, bytes_per_second: Option<usize>) {
    let (started, mut bytes, mut buffer) = (Instant::now(), 0usize, vec![0; 64 << 10]);
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        bytes += read;
        if let Some(rate) = bytes_per_second {
            let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
}

fn resident_mib(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}
