//! What a job takes from the machine: nothing when idle, and little memory however much one epoch emits.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_tests::{folder_with, guest, tidewheel};

/// Lines in; each sets timers at a burst operator, whose results all have one key, so go to one worker and its sink.
fn burst_job(timers: u32, results: u32, bytes: u32) -> String {
    format!(
        "name = 'burst'
[sources.lines]
connector = 'stdin'
format = 'lines'
[operators.burst]
component = '{component}'
input = 'lines'
key = {{ bytes = '0..1' }}
config = {{ timers = {timers}, results = {results}, bytes = {bytes} }}
[operators.gather]
component = '{component}'
input = 'burst'
key = {{ bytes = '0..1' }}
[sinks.out]
connector = 'stdout'
input = 'gather'
",
        component = guest("burst").display()
    )
}

/// A job that runs on two workers, its standard input open.
struct Running {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(job: &str) -> Running {
        let folder = folder_with(&[("job.toml", job)]);
        let mut command: Command = tidewheel();
        command.args(["run", "--quiet", "--workers", "2", "job.toml"]).current_dir(&folder);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        Running { process, _folder: folder }
    }

    /// Sends a line and waits until it comes out: then everything is up.
    fn pass(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.process.stdin.as_mut().expect("open").write_all(line.as_bytes()).expect("the job reads");
        let mut echoed = vec![0; line.len()];
        self.process.stdout.as_mut().expect("a pipe").read_exact(&mut echoed).expect("the line comes out");
        assert_eq!(echoed, line.as_bytes());
    }

    /// A file of the process in `/proc`.
    fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).expect("the process lives")
    }

    /// Time its threads have spent on a processor.
    fn cpu_time(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("the process lives");
        let times = threads.map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            // A thread that has just ended has no file any more.
            let stat = fs::read_to_string(path).unwrap_or_default();
            stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).map_or(Duration::ZERO, Duration::from_nanos)
        });
        times.sum()
    }

    /// Memory it holds, in bytes.
    fn resident(&self) -> usize {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS is there");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How long an idle job is watched, and what it may use: 0.2 % of a core. Epochs that are closed every 10 ms although
/// nothing happens cost 1 %.
const WATCHED: Duration = Duration::from_secs(10);
const IDLE_CPU_MAX: Duration = Duration::from_millis(20);

#[test]
fn an_idle_job_uses_next_to_nothing() {
    let mut job = Running::start(&burst_job(0, 0, 0));
    job.pass("0");
    // The end of the last epoch is not idleness yet.
    thread::sleep(Duration::from_millis(500));
    let (before, began) = (job.cpu_time(), Instant::now());
    assert!(before > Duration::ZERO, "this kernel does not count: the test would see nothing");
    thread::sleep(WATCHED);
    let (used, watched) = (job.cpu_time() - before, began.elapsed());
    assert!(used < IDLE_CPU_MAX, "{used:?} of a core in {watched:?}");
    // It was idle, not dead.
    job.pass("0");
}

/// The burst: 1,000 timers of one key, all due in one epoch, of 10,000 results each.
const TIMERS: u32 = 1_000;
const RESULTS: u32 = 10_000;
const BYTES: u32 = 9;

/// Above steady. 50 MiB are usual; without output credits 330 MiB were measured.
const MEMORY_MAX: usize = 128 << 20;

/// The reader is slow at first: so many reads with such a pause.
const SLOW_READS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn a_burst_in_one_epoch_waits_for_a_slow_reader_without_filling_the_memory() {
    let mut job = Running::start(&burst_job(TIMERS, RESULTS, BYTES));
    job.pass("0");
    let steady = job.resident();
    // The end of the input is the watermark that all timers wait for.
    drop(job.process.stdin.take());
    let mut stdout = job.process.stdout.take().expect("a pipe");
    let mut expected = (0..RESULTS).cycle();
    let (mut results, mut peak, mut reads) = (0u64, steady, 0);
    let mut rest: Vec<u8> = Vec::new();
    let mut block = vec![0; 64 << 10];
    loop {
        let read = stdout.read(&mut block).expect("stdout can be read");
        if read == 0 {
            break;
        }
        reads += 1;
        if reads <= SLOW_READS {
            thread::sleep(PAUSE);
        }
        // It cannot end while most of a million results are still to be read.
        if reads % 16 == 0 && results + 1_000_000 < u64::from(TIMERS * RESULTS) {
            peak = peak.max(job.resident());
        }
        rest.extend_from_slice(&block[..read]);
        let whole = rest.len() - rest.len() % (BYTES as usize + 1);
        for line in rest[..whole].chunks_exact(BYTES as usize + 1) {
            let number: u32 = str::from_utf8(line).expect("text").trim_end().parse().expect("a number");
            assert_eq!(Some(number), expected.next(), "result {results}");
            results += 1;
        }
        rest.drain(..whole);
    }
    assert!(job.process.wait().expect("a child can be waited for").success());
    assert_eq!(results, u64::from(TIMERS) * u64::from(RESULTS));
    let above = peak - steady;
    assert!(above < MEMORY_MAX, "{} MiB above the steady {} MiB", above >> 20, steady >> 20);
}
