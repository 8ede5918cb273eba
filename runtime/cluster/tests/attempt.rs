//! A whole attempt in real processes: supervised, told its secret, connected; one fails, and the next attempt follows.
//!
//! Each process is this very test binary, started again for the test `helper` with `HELPER_ROLE` set.

use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewheel_cluster::{
    Channel, Credit, DataFolder, DataSockets, Heartbeat, How, LastWords, LostPeer, Meeting, Member, Secret,
    SideChannels, SideHandler, Supervisor, attach, join,
};

/// More than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Join { member: Member, folder: std::path::PathBuf },
    Finish,
}

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Connected,
    Credits(u64),
}

type Workers = Supervisor<Order, Report>;

/// What a worker does with what its peers send.
struct Handler {
    channel: Channel<Report, Order>,
    credits: Mutex<Vec<u64>>,
}

impl SideHandler for Handler {
    fn credit(&self, _peer: usize, credit: Credit) {
        let mut credits = self.credits.lock().unwrap();
        credits.push(credit.bytes);
        if credits.len() == 2 {
            self.channel.send(&Report::Credits(credits.iter().sum())).unwrap();
        }
    }

    fn message(&self, peer: usize, _message: &[u8]) {
        panic!("process {peer} sends no messages");
    }

    fn lost(&self, lost: LostPeer) {
        self.channel.send_last_words(lost.into()).unwrap();
        std::process::exit(3);
    }
}

/// The part of a worker process. In a plain run of the tests there is none.
#[test]
fn helper() {
    if std::env::var_os("HELPER_ROLE").is_none() {
        return;
    }
    let channel: Channel<Report, Order> = attach().unwrap().expect("a supervisor has started it");
    let Some(Order::Join { member, folder }) = channel.receive().unwrap() else { panic!("the first order is to join") };
    let peers = match join(&member, Meeting::Folder(folder), LIMIT) {
        Ok(peers) => peers,
        Err(error) => {
            channel.send_last_words(LastWords::cause(error.to_string())).unwrap();
            std::process::exit(1);
        }
    };
    let DataSockets::Unix(mut sockets) = peers.data else { panic!("they meet in a folder") };
    for socket in sockets.iter_mut().flatten() {
        socket.write_all(&[member.process as u8]).unwrap();
    }
    for (peer, socket) in sockets.iter_mut().enumerate() {
        if let Some(socket) = socket {
            let mut said = [0];
            socket.read_exact(&mut said).unwrap();
            assert_eq!(usize::from(said[0]), peer);
        }
    }
    let handler = Arc::new(Handler { channel: channel.clone(), credits: Mutex::default() });
    let side = SideChannels::start(peers.side, Heartbeat::default(), handler).unwrap();
    channel.send(&Report::Connected).unwrap();
    for peer in (0..member.processes).filter(|peer| *peer != member.process) {
        side.return_credit(peer, Credit { edge: 0, epoch: 0, bytes: 10u64.pow(member.process as u32) });
    }
    match channel.receive().unwrap() {
        Some(Order::Finish) => assert!(side.close(LIMIT), "all leave together"),
        other => panic!("the last order is to finish, not {other:?}"),
    }
    std::process::exit(0);
}

/// Three connected workers of an attempt.
fn start(attempt: u64, folder: &DataFolder) -> (Workers, Receiver<(usize, Report)>) {
    let (heard, reports) = mpsc::channel();
    let command = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "helper", "--nocapture", "--test-threads=1"]).env("HELPER_ROLE", "worker");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let on_report = move |process, report| heard.send((process, report)).unwrap();
    let workers = Workers::start((0..3).map(command).collect(), Some(folder), on_report).unwrap();
    let secret = Secret::generate().unwrap();
    for process in 0..3 {
        let member = Member { job: "job".to_owned(), attempt, process, processes: 3, secret: secret.clone() };
        workers.send(process, &Order::Join { member, folder: folder.path().to_owned() }).unwrap();
    }
    (workers, reports)
}

/// Waits until every worker has heard from all others.
fn wait_connected(reports: &Receiver<(usize, Report)>) {
    let (mut connected, mut credits) = (0, [0; 3]);
    while connected < 3 || credits.contains(&0) {
        match reports.recv_timeout(LIMIT).unwrap() {
            (_, Report::Connected) => connected += 1,
            (process, Report::Credits(sum)) => credits[process] = sum,
        }
    }
    assert_eq!(credits, [110, 101, 11]);
}

#[test]
fn attempts_follow_each_other_in_one_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(home.path()).unwrap();
    let (workers, reports) = start(1, &folder);
    wait_connected(&reports);
    let pid = workers.pids()[1].to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    let ended = workers.wait_for(LIMIT).expect("all end");
    assert_eq!((ended.process, ended.how), (1, How::Signalled(9)), "not one that has lost it: {ended}");
    drop(workers);

    let (workers, reports) = start(2, &folder);
    wait_connected(&reports);
    for process in 0..3 {
        workers.send(process, &Order::Finish).unwrap();
    }
    let ended = workers.wait_for(LIMIT).expect("all finish");
    assert!(ended.is_success(), "{ended}");
}

#[test]
fn one_that_panics_is_told_from_those_that_lose_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(home.path()).unwrap();
    let (workers, reports) = start(1, &folder);
    wait_connected(&reports);
    let (member, folder) = (
        Member { job: String::new(), attempt: 0, process: 0, processes: 1, secret: Secret::generate().unwrap() },
        folder.path().to_owned(),
    );
    workers.send(2, &Order::Join { member, folder }).unwrap();
    let ended = workers.wait_for(LIMIT).expect("all end");
    // A panic says nothing on the channel; those that end for it do, and are not blamed.
    assert_eq!((ended.process, ended.how), (2, How::Exited(101)), "{ended}");
}
