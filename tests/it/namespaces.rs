//! The connections between processes on two machines, as far as the network can tell.
//!
//! Each process is this very test binary, started again for the test `helper` with `HELPER_ROLE` set.

use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tidewheel_cluster::{
    Channel, Credit, DataSockets, Ended, Heartbeat, How, LastWords, LostPeer, Meeting, Member, Secret, SideChannels,
    SideHandler, Supervisor, attach, join, listen,
};
use tidewheel_tests::Network;

/// More than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Where the two listen.
const ADDRESSES: [&str; 2] = ["10.213.7.1:7301", "10.213.7.2:7301"];

/// A silence that is a loss, here.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Join(Member),
    /// Connects to process 0 and keeps silent.
    Molest,
    Finish,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Report {
    Connected,
    Credit(u64),
    Molested,
}

type Workers = Supervisor<Order, Report>;

struct Handler(Channel<Report, Order>);

impl SideHandler for Handler {
    fn credit(&self, _peer: usize, credit: Credit) {
        self.0.send(&Report::Credit(credit.bytes)).unwrap();
    }

    fn message(&self, peer: usize, _message: &[u8]) {
        panic!("process {peer} sends no messages");
    }

    fn lost(&self, lost: LostPeer) {
        self.0.send_last_words(lost.into()).unwrap();
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
    let mut strangers = Vec::new();
    loop {
        match channel.receive().unwrap() {
            Some(Order::Molest) => {
                strangers.extend((0..50).map(|_| TcpStream::connect(ADDRESSES[0]).unwrap()));
                channel.send(&Report::Molested).unwrap();
            }
            Some(Order::Join(member)) => return work(&member, &channel),
            other => panic!("it is to join, not {other:?}"),
        }
    }
}

fn work(member: &Member, channel: &Channel<Report, Order>) {
    let fail = |reason: String| -> ! {
        channel.send_last_words(LastWords::cause(reason)).unwrap();
        std::process::exit(1);
    };
    let listener = listen(ADDRESSES[member.process]).unwrap_or_else(|error| fail(error.to_string()));
    let meeting = Meeting::Hosts { listener, addresses: ADDRESSES.map(str::to_owned).to_vec() };
    let peers = join(member, meeting, LIMIT).unwrap_or_else(|error| fail(error.to_string()));
    let other = 1 - member.process;
    let DataSockets::Tcp(mut sockets) = peers.data else { panic!("they meet by TCP") };
    let socket = sockets[other].as_mut().unwrap();
    // More than the buffers between them hold, both ways at once.
    let mut writer = socket.try_clone().unwrap();
    let own = member.process as u8;
    let writing = std::thread::spawn(move || writer.write_all(&vec![own; 16 << 20]).unwrap());
    let mut bytes = vec![0; 16 << 20];
    socket.read_exact(&mut bytes).unwrap();
    writing.join().unwrap();
    assert!(bytes.iter().all(|byte| usize::from(*byte) == other));

    let heartbeat = Heartbeat { interval: Duration::from_millis(100), silence_max: SILENCE };
    let side = SideChannels::start(peers.side, heartbeat, Arc::new(Handler(channel.clone()))).unwrap();
    channel.send(&Report::Connected).unwrap();
    side.return_credit(other, Credit { edge: 1, epoch: 2, bytes: member.process as u64 });
    match channel.receive().unwrap() {
        Some(Order::Finish) => assert!(side.close(LIMIT), "both leave"),
        other => panic!("the last order is to finish, not {other:?}"),
    }
    std::process::exit(0);
}

/// Two workers, one on each machine.
fn start(network: &Network) -> (Workers, Receiver<(usize, Report)>) {
    let (heard, reports) = mpsc::channel();
    let command = |index: usize| {
        let mut command = network.command(index, std::env::current_exe().unwrap());
        command.args(["--exact", "namespaces::helper", "--nocapture", "--test-threads=1"]);
        command.env("HELPER_ROLE", "worker").stdout(Stdio::null());
        command
    };
    let on_report = move |process, report| heard.send((process, report)).unwrap();
    (Workers::start(vec![command(0), command(1)], None, on_report).unwrap(), reports)
}

fn network() -> Network {
    Network::new(ADDRESSES.map(|address| address.split_once(':').expect("an address has a port").0))
}

fn order_to_join(workers: &Workers, process: usize, secret: &Secret) {
    let member = Member { job: "job".to_owned(), attempt: 1, process, processes: 2, secret: secret.clone() };
    workers.send(process, &Order::Join(member)).unwrap();
}

/// Waits until both are connected and have had each other's credit.
fn wait_connected(workers: &Workers, reports: &Receiver<(usize, Report)>) {
    let mut awaited =
        vec![(0, Report::Connected), (1, Report::Connected), (0, Report::Credit(1)), (1, Report::Credit(0))];
    while !awaited.is_empty() {
        match reports.recv_timeout(LIMIT) {
            Ok(report) => awaited.retain(|awaited| *awaited != report),
            Err(error) => panic!("{awaited:?} did not come: {error}, {:?}", workers.wait_for(Duration::ZERO)),
        }
    }
}

fn end_of(workers: &Workers) -> Ended {
    workers.wait_for(LIMIT).expect("the attempt ends")
}

#[test]
fn two_machines_work_together_among_strangers() {
    let network = network();
    let (workers, reports) = start(&network);
    let secret = Secret::generate().unwrap();
    order_to_join(&workers, 0, &secret);
    // The first listens when the second one's strangers can reach it; until then they are refused and it ends.
    wait_for_listener(&network);
    workers.send(1, &Order::Molest).unwrap();
    assert_eq!(reports.recv_timeout(LIMIT).unwrap(), (1, Report::Molested));
    order_to_join(&workers, 1, &secret);
    wait_connected(&workers, &reports);
    workers.send(0, &Order::Finish).unwrap();
    workers.send(1, &Order::Finish).unwrap();
    let ended = end_of(&workers);
    assert!(ended.is_success(), "{ended}");
}

#[test]
fn a_machine_that_is_cut_off_is_lost() {
    let network = network();
    let (workers, reports) = start(&network);
    let secret = Secret::generate().unwrap();
    order_to_join(&workers, 0, &secret);
    order_to_join(&workers, 1, &secret);
    wait_connected(&workers, &reports);
    network.cut();
    let ended = end_of(&workers);
    assert_eq!(ended.how, How::Exited(3));
    let told = format!("process {} has been silent for {SILENCE:?}", 1 - ended.process);
    assert_eq!(ended.reason, Some(told));
}

#[test]
fn one_that_is_killed_is_the_cause_on_its_machine() {
    let network = network();
    let (workers, reports) = start(&network);
    let secret = Secret::generate().unwrap();
    order_to_join(&workers, 0, &secret);
    order_to_join(&workers, 1, &secret);
    wait_connected(&workers, &reports);
    let pid = workers.pids()[0].to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    let ended = end_of(&workers);
    assert_eq!((ended.process, ended.how), (0, How::Signalled(9)), "{ended}");
}

/// Waits until process 0 listens in its namespace.
fn wait_for_listener(network: &Network) {
    let is_listening = || {
        let output = network.command(0, "cat").arg("/proc/net/tcp").output().unwrap();
        // Port 7301 in state LISTEN.
        let port = format!(":{:04X} ", 7301);
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line.contains(&port) && line.contains(" 0A "))
    };
    let deadline = std::time::Instant::now() + LIMIT;
    while !is_listening() {
        assert!(std::time::Instant::now() < deadline, "process 0 does not listen within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
