//! The other end: a client that blocks, for the command line and for tests.

use crate::error::ErrorBody;
use crate::model::{
    CheckpointRequest, Checkpoints, JobStatus, Metrics, RateRequest, Savepoint, SavepointRequest, SourceRate, Taken,
    Watermarks,
};
use crate::{ApiError, ClientError, Fault, routes};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a job may take to say how it is. One that takes longer is stopped, or hangs.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A connection to a running job. What takes its time, a checkpoint or savepoint, is waited for however long it takes.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    requests: SendRequest<Full<Bytes>>,
    /// Moves the bytes while a request is waited for.
    _connection: JoinHandle<()>,
}

impl Client {
    /// Speaks to the job at the other end of `stream`.
    pub fn over(stream: UnixStream) -> Result<Client, ClientError> {
        let start = || -> io::Result<(Runtime, tokio::net::UnixStream)> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            stream.set_nonblocking(true)?;
            let stream = {
                let _context = runtime.enter();
                tokio::net::UnixStream::from_std(stream)?
            };
            Ok((runtime, stream))
        };
        let (runtime, stream) = start().map_err(ClientError::Connection)?;
        let (requests, connection) =
            runtime.block_on(http1::handshake(TokioIo::new(stream))).map_err(ClientError::Gone)?;
        // What goes wrong with the connection, the request that it happens to is told.
        let connection = runtime.spawn(async { drop(connection.await) });
        Ok(Client { runtime, requests, _connection: connection })
    }

    /// How the job is.
    pub fn status(&mut self) -> Result<JobStatus, ClientError> {
        self.get(routes::JOB)
    }

    /// The checkpoints there are, and how they went.
    pub fn checkpoints(&mut self) -> Result<Checkpoints, ClientError> {
        self.get(routes::CHECKPOINTS)
    }

    /// Has it read no more than that of a source; gives what holds then.
    pub fn rate(&mut self, rate: &RateRequest) -> Result<SourceRate, ClientError> {
        self.post(routes::RATE, rate)
    }

    /// Where its watermarks stand, and what holds them back.
    pub fn watermarks(&mut self) -> Result<Watermarks, ClientError> {
        self.get(routes::WATERMARKS)
    }

    /// What the job counts.
    pub fn metrics(&mut self) -> Result<Metrics, ClientError> {
        self.get(routes::METRICS)
    }

    /// Has a checkpoint taken, and waits until it is complete.
    pub fn checkpoint(&mut self, request: &CheckpointRequest) -> Result<Taken, ClientError> {
        self.post(routes::CHECKPOINT, request)
    }

    /// Has a savepoint taken, and waits until it is finished.
    pub fn savepoint(&mut self, request: &SavepointRequest) -> Result<Savepoint, ClientError> {
        self.post(routes::SAVEPOINTS, request)
    }

    fn get<T: DeserializeOwned>(&mut self, path: &'static str) -> Result<T, ClientError> {
        self.send(Method::GET, path, Bytes::new(), Some(ANSWER_MAX))
    }

    fn post<T: DeserializeOwned>(
        &mut self,
        path: &'static str,
        request: &impl serde::Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(request).expect("a request has a JSON form");
        self.send(Method::POST, path, body.into(), None)
    }

    fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &'static str,
        body: Bytes,
        limit: Option<Duration>,
    ) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "job")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("the parts of a request are right");
        let requests = &mut self.requests;
        let answer = async {
            requests.ready().await.map_err(ClientError::Gone)?;
            let response = requests.send_request(request).await.map_err(ClientError::Gone)?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(ClientError::Gone)?;
            Ok::<_, ClientError>((status, body.to_bytes()))
        };
        let (status, body) = self.runtime.block_on(async {
            match limit {
                None => answer.await,
                Some(limit) => {
                    let seconds = limit.as_secs();
                    timeout(limit, answer).await.unwrap_or(Err(ClientError::Silent { seconds }))
                }
            }
        })?;
        let not_understood = |source| ClientError::Answer { path, source };
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(not_understood),
            status => match serde_json::from_slice::<ErrorBody>(&body) {
                Ok(body) => Err(ApiError::from_body(status, body).into()),
                Err(_) => {
                    Err(ApiError::new(Fault::Job, format!("the job answered {path} with status {status}")).into())
                }
            },
        }
    }
}
