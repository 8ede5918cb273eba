//! For tests: several parties on one store, whose requests are done one at a time in an order that the test chooses, with
//! faults that it chooses.

use super::{Patience, Store};
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done.
    Done,
    /// It is not done, and fails.
    Refused,
    /// It is done, and fails.
    AnswerLost,
    /// A put fails, and is done later.
    Late,
    /// A put finds no room; the rest is done.
    Full,
}

/// Where requests wait for their turn.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    live: BTreeSet<usize>,
    waiting: BTreeSet<usize>,
    granted: BTreeMap<usize, Fate>,
    late: Vec<(Path, PutPayload, PutOptions)>,
}

impl Gate {
    /// The store of one party. It must say [`left`](Self::left) when it has made its last request.
    pub(crate) fn join(self: &Arc<Self>, who: usize, objects: &Arc<dyn ObjectStore>) -> Store {
        self.state.lock().unwrap().live.insert(who);
        let stepped = Stepped { objects: objects.clone(), gate: self.clone(), who };
        let patience = Patience { pause: Duration::ZERO, ..Patience::default() };
        Store::over(Arc::new(stepped), "memory:", patience).unwrap()
    }

    /// A party makes no request any more.
    pub(crate) fn left(&self, who: usize) {
        self.state.lock().unwrap().live.remove(&who);
        self.changed.notify_all();
    }

    /// Waits for its turn.
    fn turn(&self, who: usize) -> Fate {
        let mut state = self.state.lock().unwrap();
        state.waiting.insert(who);
        self.changed.notify_all();
        loop {
            if let Some(fate) = state.granted.remove(&who) {
                return fate;
            }
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Waits until every party has made a request or left, and says who has made one.
    pub(crate) fn settle(&self) -> BTreeSet<usize> {
        let mut state = self.state.lock().unwrap();
        while !state.granted.is_empty() || state.waiting != state.live {
            let (next, timeout) = self.changed.wait_timeout(state, Duration::from_secs(60)).unwrap();
            assert!(!timeout.timed_out(), "a party neither asks for anything nor leaves");
            state = next;
        }
        state.waiting.clone()
    }

    /// Lets a party's request go on.
    pub(crate) fn grant(&self, who: usize, fate: Fate) {
        let mut state = self.state.lock().unwrap();
        assert!(state.waiting.remove(&who));
        state.granted.insert(who, fate);
        self.changed.notify_all();
    }

    /// Does what is late.
    pub(crate) fn arrive(&self, objects: &Arc<dyn ObjectStore>) {
        for (path, payload, options) in std::mem::take(&mut self.state.lock().unwrap().late) {
            // Nobody waits for the answer.
            let _ =
                crate::background::wait(crate::background::start().unwrap(), objects.put_opts(&path, payload, options));
        }
    }
}

struct Stepped {
    objects: Arc<dyn ObjectStore>,
    gate: Arc<Gate>,
    who: usize,
}

impl fmt::Debug for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {}", self.who)
    }
}

impl fmt::Display for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

pub(crate) fn fault() -> Error {
    Error::Generic { store: "test", source: "no answer".into() }
}

/// Reads that are not done fail.
fn read(fate: Fate) -> Result<()> {
    if matches!(fate, Fate::Done | Fate::Full) { Ok(()) } else { Err(fault()) }
}

#[async_trait]
impl ObjectStore for Stepped {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.gate.turn(self.who) {
            Fate::Done => self.objects.put_opts(path, payload, options).await,
            Fate::Refused => Err(fault()),
            Fate::Full => {
                Err(Error::Generic { store: "test", source: Box::new(io::Error::from(io::ErrorKind::StorageFull)) })
            }
            Fate::AnswerLost => {
                let _ = self.objects.put_opts(path, payload, options).await;
                Err(fault())
            }
            Fate::Late => {
                self.gate.state.lock().unwrap().late.push((path.clone(), payload, options));
                Err(fault())
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        read(self.gate.turn(self.who))?;
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        read(self.gate.turn(self.who))?;
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (objects, gate, who) = (self.objects.clone(), self.gate.clone(), self.who);
        let removed = paths.then(move |path| {
            let (objects, gate) = (objects.clone(), gate.clone());
            async move {
                read(gate.turn(who))?;
                let path = path?;
                objects.delete(&path).await?;
                Ok(path)
            }
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match read(self.gate.turn(self.who)) {
            Ok(()) => self.objects.list(prefix),
            Err(error) => async { Err(error) }.into_stream().boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        read(self.gate.turn(self.who))?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        read(self.gate.turn(self.who))?;
        self.objects.copy_opts(from, to, options).await
    }
}
