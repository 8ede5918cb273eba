//! A job on two machines, as far as the network can tell.

use crate::recovery::{assert_same, expected, job, parts};
use std::path::Path;
use std::process::{Command, Stdio};
use tidewheel_tests::survival::{Running, results, signal, wait_until};
use tidewheel_tests::{Network, folder_with, run, tidewheel};

/// Where the two processes listen.
const HOSTS: [&str; 2] = ["10.213.8.1:7310", "10.213.8.2:7310"];

const STDOUT: &str = "connector = \"stdout\"\ninput = \"count\"";

const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0\n";

/// The program, to be run on machine `index`.
fn tidewheel_on(network: &Network, index: usize) -> Command {
    let program = tidewheel();
    let mut command = network.command(index, program.get_program());
    command.envs(program.get_envs().filter_map(|(name, value)| value.map(|value| (name, value)))).stdin(Stdio::null());
    command
}

/// What machine `index` is started with; both share the folder `shared`.
fn arguments(shared: &Path, index: usize) -> Vec<String> {
    let shared = shared.display();
    let [hosts, process] = [HOSTS.join(","), index.to_string()];
    let mut arguments = vec!["--hosts".to_owned(), hosts, "--process".to_owned(), process];
    arguments.extend(["--secret-file".to_owned(), format!("{shared}/secret")]);
    for setting in ["checkpoint.store=store", "sinks.counts.path=counts", "sinks.windows.path=windows"] {
        let (name, folder) = setting.split_once('=').expect("a setting");
        arguments.extend(["--set".to_owned(), format!("{name}={shared}/{folder}")]);
    }
    arguments
}

/// A worker process is killed on one machine, and then on the other: both start again, each under its own supervisor.
#[test]
fn a_job_on_two_machines_survives_the_loss_of_a_process_on_either() {
    let network = Network::new(HOSTS.map(|host| host.split_once(':').expect("a host has a port").0));
    let shared = folder_with(&[("secret", SECRET)]);
    let machines = [(); 2].map(|()| folder_with(&[("job.toml", &job("memory", "rate = 50000"))]));
    let start = |index: usize| {
        let arguments = arguments(shared.path(), index);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Running::start_by(tidewheel_on(&network, index), machines[index].path(), &arguments)
    };
    let running = [start(0), start(1)];
    let mut seen = 0;
    for index in [1, 0] {
        wait_until("something more is committed", || parts(shared.path()) > seen);
        seen = parts(shared.path());
        let worker = running[index].workers()[0];
        signal(worker, "KILL");
        wait_until("another process takes its place", || {
            running[index].workers().first().is_some_and(|&pid| pid != worker)
        });
    }
    let [first, second] = running;
    first.wait(machines[0].path());
    second.wait(machines[1].path());
    assert_same(&results(shared.path()), &expected());
}

#[test]
fn what_machines_cannot_do_is_refused() {
    let folder = folder_with(&[("job.toml", &job("memory", "")), ("secret", SECRET), ("empty", "")]);
    let refused = |arguments: &[&str]| {
        let ended = run(folder.path(), &[&["run", "job.toml"], arguments].concat());
        assert_ne!(ended.code, 0);
        ended.stderr
    };
    let here = ["--hosts", "a:1,b:1", "--process", "0"];
    assert!(refused(&here).contains("--secret-file"));
    let secret = [&here[..], &["--secret-file", "secret"]].concat();
    assert!(refused(&secret).contains("set `store` in [checkpoint]"));
    let no_secret = [&here[..], &["--secret-file", "empty", "--set", "checkpoint.store=store"]].concat();
    assert!(refused(&no_secret).contains("64 hexadecimal digits"));
    let outside = ["--hosts", "a:1,b:1", "--process", "2", "--secret-file", "secret"];
    assert!(refused(&outside).contains("counted from 0"));
    let twice = ["--hosts", "a:1,a:1", "--process", "1", "--secret-file", "secret"];
    assert!(refused(&twice).contains("a:1 twice"));
    let one_stdout = job("memory", "").replace("connector = \"file\"\ninput = \"count\"\npath = \"counts/\"", STDOUT);
    let folder = folder_with(&[("job.toml", &one_stdout)]);
    let ended = run(folder.path(), &["run", "job.toml", "--processes", "2"]);
    assert!(ended.stderr.contains("which several processes cannot share"), "{}", ended.stderr);
}
