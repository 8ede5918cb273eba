//! Processes of an attempt, each a thread here, find each other among strangers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tidewheel_cluster::{ClusterError, DataSockets, Meeting, Member, Peers, Secret, ask_attempt, join, listen};

/// More than joining takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

fn members(processes: usize, attempt: u64) -> Vec<Member> {
    let secret = Secret::generate().unwrap();
    let member = |process| Member { job: "job".to_owned(), attempt, process, processes, secret: secret.clone() };
    (0..processes).map(member).collect()
}

/// Where `processes` processes meet on this machine, by TCP.
fn hosts(processes: usize) -> Vec<Meeting> {
    let listeners: Vec<TcpListener> = (0..processes).map(|_| listen("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<String> = listeners.iter().map(|it| it.local_addr().unwrap().to_string()).collect();
    listeners.into_iter().map(|listener| Meeting::Hosts { listener, addresses: addresses.clone() }).collect()
}

fn folders(processes: usize, folder: &Path) -> Vec<Meeting> {
    (0..processes).map(|_| Meeting::Folder(folder.to_owned())).collect()
}

/// Joins all, and checks that every data socket leads where it says.
fn join_all(members: Vec<Member>, meetings: Vec<Meeting>) {
    let start = |(member, meeting): (Member, Meeting)| {
        thread::spawn(move || {
            let peers = join(&member, meeting, LIMIT).unwrap_or_else(|error| panic!("{}: {error}", member.process));
            check(&member, peers);
        })
    };
    let threads: Vec<_> = members.into_iter().zip(meetings).map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn check(member: &Member, peers: Peers) {
    match peers.data {
        DataSockets::Unix(sockets) => check_sockets(member, sockets),
        DataSockets::Tcp(sockets) => {
            assert!(sockets.iter().flatten().all(|socket| socket.nodelay().unwrap()));
            check_sockets(member, sockets);
        }
    }
}

fn check_sockets<S: Read + Write>(member: &Member, mut sockets: Vec<Option<S>>) {
    assert_eq!(sockets.len(), member.processes);
    assert!(sockets[member.process].is_none());
    for socket in sockets.iter_mut().flatten() {
        socket.write_all(&[member.process as u8]).unwrap();
    }
    for (peer, socket) in sockets.iter_mut().enumerate().filter(|(peer, _)| *peer != member.process) {
        let mut said = [0];
        socket.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(usize::from(said[0]), peer);
    }
}

#[test]
fn peers_find_each_other() {
    for processes in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        join_all(members(processes, 1), folders(processes, folder.path()));
        join_all(members(processes, 2), folders(processes, folder.path()));
        join_all(members(processes, 1), hosts(processes));
    }
}

#[test]
fn a_folder_may_have_a_long_path() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("d".repeat(120));
    std::fs::create_dir(&folder).unwrap();
    join_all(members(2, 1), folders(2, &folder));
}

/// Crowds of all kinds that want in before the last process has come, and while it does.
#[test]
fn strangers_keep_nobody_out() {
    let (mut all, mut meetings) = (members(3, 1), hosts(3));
    let Meeting::Hosts { addresses, .. } = &meetings[0] else { panic!("hosts have addresses") };
    let addresses = addresses.clone();
    let (last, last_meeting) = (all.remove(2), meetings.remove(2));
    let first_two = thread::spawn(move || join_all(all, meetings));

    // Silent ones, more than may prove themselves at once, those that talk nonsense, and those that hang up.
    let connect = |to: usize| TcpStream::connect(&addresses[to]).unwrap();
    let mut silent: Vec<TcpStream> = (0..400).map(|count| connect(count % 2)).collect();
    for count in 0..100 {
        let mut stranger = connect(count % 2);
        let nonsense = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![count as u8; count], b"tidewhl\n\x01\x00".to_vec()];
        stranger.write_all(&nonsense[count % 3]).unwrap();
    }
    assert!(!first_two.is_finished(), "they wait for the last");
    let started = Instant::now();
    let last = thread::spawn(move || check(&last, join(&last, last_meeting, LIMIT).unwrap()));
    while !last.is_finished() {
        silent.extend((0..2).filter_map(|to| TcpStream::connect(&addresses[to]).ok()));
        // No more than a few hundred at once, for the test's own sake.
        silent.drain(..silent.len().saturating_sub(400));
        thread::yield_now();
    }
    last.join().unwrap();
    first_two.join().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "nobody waits for the deadline of a silent one");
}

#[test]
fn strangers_at_a_socket_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (all, mut meetings) = (members(2, 1), folders(2, folder.path()));
    let (zero, one) = (all[0].clone(), all[1].clone());
    let meeting = meetings.remove(0);
    let first = thread::spawn(move || check(&zero, join(&zero, meeting, LIMIT).unwrap()));
    let socket = folder.path().join("process-0.sock");
    let mut silent = Vec::new();
    while silent.len() < 300 {
        assert!(!first.is_finished(), "it waits for process 1");
        // Until the first one listens there is no socket.
        silent.extend(UnixStream::connect(&socket).ok());
    }
    check(&one, join(&one, meetings.remove(0), LIMIT).unwrap());
    first.join().unwrap();
}

#[test]
fn an_older_attempt_and_one_without_the_secret_stay_out() {
    let meetings = hosts(2);
    let Meeting::Hosts { addresses, .. } = &meetings[0] else { panic!("hosts have addresses") };
    let intrude = |mut member: Member| {
        member.process = 1;
        let meeting = Meeting::Hosts { listener: listen("127.0.0.1:0").unwrap(), addresses: addresses.clone() };
        thread::spawn(move || join(&member, meeting, Duration::from_secs(1)).unwrap_err())
    };
    let real = members(2, 2);
    let old = intrude(Member { attempt: 1, ..real[0].clone() });
    let ignorant = intrude(Member { secret: Secret::generate().unwrap(), ..real[0].clone() });
    let waiting = {
        let (zero, Some(meeting)) = (real[0].clone(), meetings.into_iter().next()) else { panic!("two meet") };
        thread::spawn(move || join(&zero, meeting, Duration::from_secs(2)).unwrap_err())
    };
    let told = |error: ClusterError| {
        assert!(matches!(&error, ClusterError::Missing { peers, .. } if peers.len() == 1));
        error.to_string()
    };
    let old = old.join().unwrap();
    assert!(matches!(old, ClusterError::Outdated { attempt: 1, peer: 0, by: 2 }), "it gives up at once: {old}");
    let ignorant = told(ignorant.join().unwrap());
    assert!(ignorant.contains("process 0: it closed the connection ("), "{ignorant}");
    let waiting = told(waiting.join().unwrap());
    assert!(waiting.starts_with("process 1 has not joined within 2s\n  a stranger: it "), "{waiting}");
}

#[test]
fn processes_elsewhere_learn_the_attempt_from_the_first() {
    let (all, mut meetings) = (members(3, 41), hosts(3));
    let Meeting::Hosts { addresses, .. } = &meetings[0] else { panic!("hosts have addresses") };
    let first = addresses[0].clone();
    let joined: Vec<_> = all
        .into_iter()
        .rev()
        .map(|member| {
            let (meeting, first) = (meetings.pop().unwrap(), first.clone());
            thread::spawn(move || {
                let attempt = match member.process {
                    0 => member.attempt,
                    _ => ask_attempt(&Member { attempt: 0, ..member.clone() }, &first, LIMIT).unwrap(),
                };
                let member = Member { attempt, ..member };
                check(&member, join(&member, meeting, LIMIT).unwrap());
            })
        })
        .collect();
    joined.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn an_attempt_is_believed_with_the_secret_only() {
    let (all, mut meetings) = (members(2, 41), hosts(2));
    let Meeting::Hosts { addresses, .. } = &meetings[0] else { panic!("hosts have addresses") };
    let address = addresses[0].clone();
    let (zero, meeting) = (all[0].clone(), meetings.remove(0));
    let waiting = thread::spawn(move || join(&zero, meeting, Duration::from_secs(2)).is_err());
    let ignorant = Member { secret: Secret::generate().unwrap(), ..all[1].clone() };
    let error = ask_attempt(&ignorant, &address, Duration::from_millis(500)).unwrap_err().to_string();
    assert!(error.contains("it closed the connection"), "{error}");
    assert_eq!(ask_attempt(&all[1], &address, LIMIT).unwrap(), 41);
    assert!(waiting.join().unwrap(), "who only asks has not joined");
}

#[test]
fn a_silent_listener_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![silent.local_addr().unwrap().to_string(), "127.0.0.1:0".to_owned()];
    let meeting = Meeting::Hosts { listener: listen("127.0.0.1:0").unwrap(), addresses };
    let started = Instant::now();
    let error = join(&members(2, 1)[1], meeting, Duration::from_millis(300)).unwrap_err().to_string();
    assert!(error.starts_with("process 0 has not joined within 300ms"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = listen("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holder = listen(&taken.to_string()).unwrap();
    let error = listen(&taken.to_string()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {taken}: ")), "{error}");
}
