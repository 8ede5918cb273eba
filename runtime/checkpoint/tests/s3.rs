//! Everything once more in a bucket: against a server in this process that speaks S3 and keeps its files in a folder.
//!
//! `s3s-fs` honours `If-None-Match`, but looks first and writes then, so two puts at a time could both win. Conditional
//! puts therefore pass one after the other here, as S3 itself promises.

use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tidewheel_checkpoint::savepoint::{self, Row, RowKind, Savepoint, Writer};
use tidewheel_checkpoint::{
    CheckpointError, FORMAT, FileName, FileRef, Log, Manifest, OperatorState, Patience, Restore, Store, TaskState,
};
use tidewheel_types::description::StateKind;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// A server; it ends when it is dropped.
struct Server {
    folder: TempDir,
    port: u16,
    /// So many conditional puts are done, but answered with an error.
    answers_to_lose: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Server {
    fn start() -> Server {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = builder.build();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers_to_lose = Arc::new(AtomicUsize::new(0));
        runtime.spawn(serve(listener, service, answers_to_lose.clone()));
        Server { folder, port, answers_to_lose, _runtime: runtime }
    }

    fn store(&self) -> Store {
        let environment = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value));
        let patience = Patience { pause: Duration::from_millis(5), ..Patience::default() };
        Store::open_with("s3://bucket/jobs/count", Path::new("."), environment, patience).unwrap()
    }

    /// Where the server keeps a file.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("bucket/jobs/count").join(name)
    }
}

async fn serve(listener: TcpListener, service: S3Service, answers_to_lose: Arc<AtomicUsize>) {
    let one_at_a_time = Arc::new(Mutex::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, answers_to_lose) = (service.clone(), answers_to_lose.clone());
        let one_at_a_time = one_at_a_time.clone();
        let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, answers_to_lose) = (service.clone(), answers_to_lose.clone());
            let one_at_a_time = one_at_a_time.clone();
            async move {
                let is_conditional = request.method() == Method::PUT && request.headers().contains_key("if-none-match");
                if !is_conditional {
                    return hyper::service::Service::call(&service, request).await;
                }
                let _guard = one_at_a_time.lock().await;
                let answer = hyper::service::Service::call(&service, request).await;
                let is_lost =
                    answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                if is_lost.is_ok() {
                    let mut lost = Response::new(s3s::Body::empty());
                    *lost.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    return Ok(lost);
                }
                answer
            }
        });
        // It ends with the connection.
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

fn manifest(attempt: u64, checkpoint: u64, files: &[FileRef]) -> Manifest {
    let task = TaskState { worker: 0, key_groups: 0..128, files: files.to_vec() };
    let operator = OperatorState {
        component: "c0ffee".to_owned(),
        watermark: 17,
        states: Vec::new(),
        shape: None,
        tasks: vec![task],
    };
    Manifest {
        format: FORMAT,
        job: "count".to_owned(),
        lineage: "abc123".to_owned(),
        attempt,
        checkpoint,
        epoch: checkpoint,
        created_ms: 0,
        duration_ms: 0,
        bytes: 0,
        workers: 1,
        max_parallelism: 128,
        sources: BTreeMap::new(),
        operators: [("count".to_owned(), operator)].into(),
        sinks: BTreeMap::new(),
        finished: false,
        drained: false,
    }
}

#[test]
fn checkpoints_are_kept_in_a_bucket() {
    let server = Server::start();
    let store = server.store();
    let work = TempDir::new().unwrap();
    let mut log = Log::open(store.clone());
    assert_eq!(log.begin_attempt().unwrap().restore, None);
    let mut files = Vec::new();
    for (number, bytes) in [(0, 10), (1, 20 << 20), (2, 8 << 20)] {
        let content: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
        fs::write(work.path().join("up"), &content).unwrap();
        let name = FileName { attempt: 1, worker: 0, number }.to_string();
        let file = store.upload(&work.path().join("up"), &name).unwrap();
        assert_eq!((file.bytes, file.crc32c), (bytes, crc32c::crc32c(&content)));
        store.download(&file, &work.path().join("down")).unwrap();
        assert!(fs::read(work.path().join("down")).unwrap() == content);
        files.push(file);
    }
    log.publish(manifest(1, 1, &files[..2])).unwrap();
    log.publish(manifest(1, 2, &files[1..])).unwrap();
    log.retain(1, &BTreeSet::new()).unwrap();
    assert!(!server.path(&files[0].name).exists() && server.path(&files[1].name).exists());

    let mut next = Log::open(server.store());
    let begun = next.begin_attempt().unwrap();
    let restore = Restore { slot: 3, manifest: manifest(1, 2, &files[1..]) };
    assert_eq!((begun.number, begun.restore.as_ref()), (2, Some(&restore)));
    next.verify(&restore).unwrap();
    assert!(log.publish(manifest(1, 3, &[])).unwrap_err().is_replaced());
    let entries = next.checkpoints().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.slot).collect::<Vec<_>>(), [3]);

    let mut damaged = fs::read(server.path(&files[1].name)).unwrap();
    damaged[15 << 20] ^= 1;
    fs::write(server.path(&files[1].name), damaged).unwrap();
    let error = store.download(&files[1], &work.path().join("again")).unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
    assert!(
        error.to_string().starts_with("`s3://bucket/jobs/count/files/1-0-1.sst` is damaged: its checksum"),
        "{error}"
    );
    assert!(!work.path().join("again").exists());
    fs::remove_file(server.path(&files[2].name)).unwrap();
    let error = next.verify(&restore).unwrap_err().to_string();
    assert!(error.contains("files/1-0-2.sst` is not there"), "{error}");
}

#[test]
fn of_many_that_put_one_name_one_wins() {
    let server = Server::start();
    for round in 0..5 {
        let name = format!("slots/{round}");
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for party in 0..8 {
                let (store, won, name) = (server.store(), &won, &name);
                scope.spawn(move || match store.put_new(name, format!("party {party}")) {
                    Ok(()) => _ = won.fetch_add(1, Ordering::SeqCst),
                    Err(error) => assert!(matches!(error, CheckpointError::Exists { .. }), "{error}"),
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
    }
}

#[test]
fn of_many_controllers_the_last_one_to_begin_goes_on() {
    let server = Server::start();
    let believed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            let (store, believed) = (server.store(), &believed);
            scope.spawn(move || {
                let mut log = Log::open(store);
                let Ok(begun) = log.begin_attempt() else { return };
                // The job's name tells the history of checkpoints.
                let mut history = begun.restore.map_or(String::new(), |restore| restore.manifest.job);
                for checkpoint in 1..10 {
                    history.push_str(&format!("{}:{checkpoint}/", begun.number));
                    let manifest = Manifest { job: history.clone(), ..manifest(begun.number, checkpoint, &[]) };
                    match log.publish(manifest) {
                        Ok(_) => believed.lock().unwrap().push(history.clone()),
                        Err(error) => return assert!(error.is_replaced(), "{error}"),
                    }
                    if log.retain(1, &BTreeSet::new()).is_err_and(|error| error.is_replaced()) {
                        return;
                    }
                }
            });
        }
    });
    let newest = Log::open(server.store()).newest().unwrap().map_or(String::new(), |newest| newest.manifest.job);
    for believed in believed.into_inner().unwrap() {
        assert!(newest.starts_with(&believed), "{believed} is not part of {newest}");
    }
}

#[test]
fn a_checkpoint_whose_answer_is_lost_is_found() {
    let server = Server::start();
    let mut log = Log::open(server.store());
    log.begin_attempt().unwrap();
    server.answers_to_lose.store(2, Ordering::SeqCst);
    assert_eq!(log.publish(manifest(1, 1, &[])).unwrap(), 2);
    assert_eq!(server.answers_to_lose.load(Ordering::SeqCst), 0, "answers were lost");
    // So many that no repetition helps: what is there is read.
    server.answers_to_lose.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(log.publish(manifest(1, 2, &[])).unwrap(), 3);
    server.answers_to_lose.store(0, Ordering::SeqCst);
    assert_eq!(log.publish(manifest(1, 3, &[])).unwrap(), 4);
}

#[test]
fn a_savepoint_in_a_bucket_is_read_in_parts() {
    let server = Server::start();
    let store = server.store();
    let row = |key_group: u16, value| Row {
        state: "total",
        kind: RowKind::State(StateKind::Value),
        key_group,
        key: b"key",
        namespace: b"",
        user_key: b"",
        version: 2,
        value,
        expiry_ms: Some(i64::from(key_group)),
    };
    let mut writer = Writer::new(&store, "count", 0).unwrap();
    // Values that cannot be compressed away: several parts, several row groups.
    let mut seed = 1_u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    });
    let value: Vec<u8> = noise.take(1 << 20).collect();
    for key_group in 0..40 {
        writer.push(&row(key_group, &value)).unwrap();
    }
    let file = writer.finish().unwrap();
    savepoint::complete(&store, &manifest(1, 1, &[file]), false).unwrap();
    let reader = Savepoint::open(&store).unwrap();
    let mut rows = reader.rows("count", 20..22);
    for key_group in 20..22 {
        assert_eq!(rows.next().unwrap(), Some(row(key_group, &value)));
    }
    assert_eq!(rows.next().unwrap(), None);
}
