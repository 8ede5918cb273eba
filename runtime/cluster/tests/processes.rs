//! Real processes: they die with their supervisor and with each other, and the right one is blamed.
//!
//! Each process is this very test binary, started again for the test `helper` with its part in `HELPER_ROLE`.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use tidewheel_cluster::{Channel, DataFolder, Ended, How, LastWords, Registry, Supervisor, attach};

/// More than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// What a worker is told to do.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Repeat(String),
    Exit(i32),
    Fail(LastWords, i32),
    CloseChannel,
}

type Workers = Supervisor<Order, String>;

/// The part of a process in a test. In a plain run of the tests there is none.
#[test]
fn helper() {
    match std::env::var("HELPER_ROLE").as_deref() {
        Ok("worker") => worker(),
        Ok("supervisor") => supervisor(),
        Ok(role) => panic!("there is no role {role}"),
        Err(_) => {}
    }
}

fn worker() {
    let channel: Channel<String, Order> = attach().unwrap().expect("a supervisor has started it");
    channel.send(&"ready".to_owned()).unwrap();
    while let Some(order) = channel.receive().unwrap() {
        match order {
            Order::Repeat(text) => channel.send(&text).unwrap(),
            Order::Exit(code) => std::process::exit(code),
            Order::Fail(words, code) => {
                channel.send_last_words(words).unwrap();
                std::process::exit(code);
            }
            Order::CloseChannel => {
                channel.close();
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

/// Holds the folder of `HELPER_FOLDER`, enters the job, starts two workers, tells their numbers and waits for ever.
fn supervisor() {
    let home = std::env::var("HELPER_FOLDER").unwrap();
    let folder = DataFolder::open(&Path::new(&home).join("data")).unwrap();
    let _entry = Registry::at(&Path::new(&home).join("jobs")).register("job", &folder, 1).unwrap();
    let (workers, ready) = start(2, Some(&folder));
    wait_ready(&ready, 2);
    // On a line of its own: the harness has begun one.
    println!("\nWORKERS {} {}", workers.pids()[0], workers.pids()[1]);
    workers.wait();
}

fn this_as(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "helper", "--nocapture", "--test-threads=1"]).env("HELPER_ROLE", role);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start(processes: usize, folder: Option<&DataFolder>) -> (Workers, Receiver<(usize, String)>) {
    let (heard, messages) = mpsc::channel();
    let commands = (0..processes).map(|_| this_as("worker")).collect();
    let on_message = move |process, text| heard.send((process, text)).unwrap();
    (Workers::start(commands, folder, on_message).unwrap(), messages)
}

fn wait_ready(messages: &Receiver<(usize, String)>, processes: usize) {
    for _ in 0..processes {
        assert_eq!(messages.recv_timeout(LIMIT).unwrap().1, "ready");
    }
}

fn ready_workers(processes: usize) -> (Workers, Receiver<(usize, String)>) {
    let (workers, messages) = start(processes, None);
    wait_ready(&messages, processes);
    (workers, messages)
}

fn end_of(workers: &Workers) -> Ended {
    let ended = workers.wait_for(LIMIT).expect("the attempt ends");
    for pid in workers.pids() {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} has been reaped");
    }
    ended
}

/// Whether a process runs. One that has ended and that nobody has reaped yet does not.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.trim_start().as_bytes()[0], b'Z' | b'X'))
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// A supervisor in a process of its own, and the numbers of its workers.
fn supervising_process(home: &Path) -> (Child, [u32; 2]) {
    let mut command = this_as("supervisor");
    let mut child = command.env("HELPER_FOLDER", home).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.into_iter().find_map(|line| line.strip_prefix("WORKERS ").map(str::to_owned));
    let told = told.expect("the supervisor starts");
    let pids: Vec<u32> = told.split(' ').map(|pid| pid.parse().unwrap()).collect();
    (child, [pids[0], pids[1]])
}

#[test]
fn workers_die_with_a_supervisor_that_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let (mut supervisor, workers) = supervising_process(home.path());
    assert!(workers.iter().all(|pid| is_running(*pid)));
    let registry = Registry::at(&home.path().join("jobs"));
    assert_eq!(registry.running_jobs().unwrap()[0].pid, supervisor.id());
    let taken = DataFolder::open(&home.path().join("data")).unwrap_err().to_string();
    assert!(taken.contains(&format!("in use by process {}", supervisor.id())), "{taken}");

    // One of them is stopped: it must die all the same.
    signal("-STOP", workers[0]);
    signal("-KILL", supervisor.id());
    supervisor.wait().unwrap();
    for pid in workers {
        wait_until("the worker dies", || !is_running(pid));
    }
    wait_until("the job is seen to have ended", || registry.running_jobs().unwrap().is_empty());
    DataFolder::open(&home.path().join("data")).expect("the folder is free");
}

#[test]
fn a_folder_is_free_only_when_the_last_worker_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(home.path()).unwrap();
    let (workers, messages) = start(1, Some(&folder));
    wait_ready(&messages, 1);
    drop(folder);
    assert!(DataFolder::open(home.path()).is_err(), "a worker still holds it");
    drop(workers);
    DataFolder::open(home.path()).unwrap();
}

#[test]
fn a_worker_dies_when_its_life_line_does() {
    // Without a supervisor there is no signal of the kernel, and only the life line can end it.
    let (channel, its_channel) = std::os::unix::net::UnixStream::pair().unwrap();
    let (life_line, its_life_line) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = this_as("worker");
    command.env("TIDEWHEEL_SUPERVISOR_FDS", "0,1");
    command.stdin(std::os::fd::OwnedFd::from(its_channel)).stdout(std::os::fd::OwnedFd::from(its_life_line));
    let mut child = command.spawn().unwrap();
    drop(command);
    wait_until("the worker speaks", || {
        let mut first = [0; 1];
        let mut reader = &channel;
        std::io::Read::read(&mut reader, &mut first).unwrap() == 1
    });
    assert!(child.try_wait().unwrap().is_none());
    drop(life_line);
    wait_until("the worker dies", || !is_running(child.id()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn workers_outlive_the_thread_that_asked_for_them() {
    let (workers, messages) = std::thread::spawn(|| ready_workers(1)).join().unwrap();
    // The kernel's signal is sent at a thread's end: one that this thread's end had sent would be there by now.
    workers.send(0, &Order::Repeat("alive".to_owned())).unwrap();
    assert_eq!(messages.recv_timeout(LIMIT).unwrap().1, "alive");
}

#[test]
fn messages_reach_the_process_they_are_for() {
    let (workers, messages) = ready_workers(3);
    for process in 0..3 {
        workers.send(process, &Order::Repeat(format!("{process}").repeat(100_000))).unwrap();
    }
    for _ in 0..3 {
        let (process, text) = messages.recv_timeout(LIMIT).unwrap();
        assert_eq!(text, format!("{process}").repeat(100_000));
    }
    assert!(workers.wait_for(Duration::from_millis(10)).is_none(), "nobody has ended");
    workers.stop();
    let ended = end_of(&workers);
    assert_eq!(
        (ended.how, ended.is_success(), ended.to_string().as_str()),
        (How::Stopped, false, "process 0 was stopped")
    );
    assert!(workers.send(0, &Order::Exit(0)).is_err());
}

#[test]
fn one_that_is_killed_ends_all_and_is_blamed() {
    let (workers, _messages) = ready_workers(3);
    signal("-KILL", workers.pids()[1]);
    let ended = end_of(&workers);
    assert_eq!((ended.process, ended.how, ended.retryable), (1, How::Signalled(9), true));
    assert!(ended.to_string().contains("the kernel ran out of memory"), "{ended}");
}

#[test]
fn a_crash_is_told_by_its_signal() {
    let (workers, _messages) = ready_workers(1);
    signal("-ABRT", workers.pids()[0]);
    assert_eq!(end_of(&workers).to_string(), "process 0 was ended by SIGABRT (a crash: it gave up by itself)");
}

#[test]
fn the_cause_is_blamed_although_its_consequence_ends_first() {
    let (workers, _messages) = ready_workers(3);
    workers.send(0, &Order::Fail(LastWords::consequence("process 2 is lost"), 3)).unwrap();
    wait_until("the first ends", || !is_running(workers.pids()[0]));
    workers.send(2, &Order::Fail(LastWords::cause("it trapped").for_good(), 1)).unwrap();
    let ended = end_of(&workers);
    assert_eq!((ended.process, ended.how, ended.retryable), (2, How::Exited(1), false));
    assert_eq!(ended.to_string(), "process 2 ended with code 1: it trapped");
}

#[test]
fn a_consequence_without_a_cause_is_told() {
    let (workers, _messages) = ready_workers(2);
    workers.send(1, &Order::Fail(LastWords::consequence("process 0 is silent"), 3)).unwrap();
    assert_eq!(end_of(&workers).to_string(), "process 1 ended with code 3: process 0 is silent");
}

#[test]
fn a_silent_failure_ends_all() {
    let (workers, _messages) = ready_workers(2);
    workers.send(1, &Order::Exit(7)).unwrap();
    assert_eq!(end_of(&workers).to_string(), "process 1 ended with code 7");
}

#[test]
fn one_that_finishes_lets_the_others_finish() {
    let (workers, messages) = ready_workers(2);
    workers.send(0, &Order::Exit(0)).unwrap();
    wait_until("the first finishes", || !Path::new(&format!("/proc/{}", workers.pids()[0])).exists());
    workers.send(1, &Order::Repeat("still here".to_owned())).unwrap();
    assert_eq!(messages.recv_timeout(LIMIT).unwrap(), (1, "still here".to_owned()));
    workers.send(1, &Order::Exit(0)).unwrap();
    assert!(end_of(&workers).is_success());
}

#[test]
fn one_that_closes_its_channel_is_ended() {
    let (workers, _messages) = ready_workers(2);
    workers.send(1, &Order::CloseChannel).unwrap();
    let ended = end_of(&workers);
    assert_eq!((ended.process, ended.how), (1, How::Stopped));
    assert!(ended.to_string().contains("it closed its control channel and went on"), "{ended}");
}

#[test]
fn a_program_that_is_not_there_is_named_and_nothing_stays() {
    let commands = vec![this_as("worker"), Command::new("no-such-program")];
    let error = Workers::start(commands, None, |_, _| {}).err().unwrap().to_string();
    assert!(error.starts_with("cannot start process 1 (no-such-program): "), "{error}");
}

#[test]
fn a_process_that_no_supervisor_has_started_knows_it() {
    assert!(attach::<(), ()>().unwrap().is_none());
}
