//! Stores from URLs.

use super::{Patience, Store};
use crate::background;
use crate::error::CheckpointError;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The longest pause between two requests.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Store {
    /// The store at a URL: `s3://bucket/prefix` (with credentials, region and endpoint from the `AWS_…` variables of the
    /// environment), `file:///folder`, a path, which counts from `folder` if it is relative, or `memory:`, which is a new
    /// store, lost with its last clone. Nothing is made or asked for yet.
    ///
    /// # Errors
    /// If the URL is none of these.
    pub fn open(url: &str, folder: &Path) -> Result<Store, CheckpointError> {
        let environment =
            std::env::vars_os().filter_map(|(key, value)| Some((key.to_str()?.to_owned(), value.to_str()?.to_owned())));
        Store::open_with(url, folder, environment, Patience::default())
    }

    /// As [`open`](Self::open), with variables that stand for those of the environment, and with another patience.
    ///
    /// # Errors
    /// If the URL is no store's.
    pub fn open_with(
        url: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        patience: Patience,
    ) -> Result<Store, CheckpointError> {
        let wrong = |reason: String| CheckpointError::Url { url: url.to_owned(), reason };
        let Some((scheme, _)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
            return local(&folder.join(url), url, patience);
        };
        match scheme {
            "memory" => Store::over(Arc::new(InMemory::new()), "memory:", patience),
            "file" => {
                let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
                let path = parsed.to_file_path();
                local(&path.map_err(|()| wrong("write `file:///` and an absolute path".to_owned()))?, url, patience)
            }
            "s3" | "s3a" => s3(url, environment, patience),
            _ => Err(wrong(format!("`{scheme}:` is not known, use a path, `file:///…` or `s3://bucket/prefix`"))),
        }
    }

    /// A store over objects.
    pub(crate) fn over(objects: Arc<dyn ObjectStore>, url: &str, patience: Patience) -> Result<Store, CheckpointError> {
        let runtime = background::start()?;
        Ok(Store { objects, prefix: ObjectPath::default(), url: url.into(), local: None, patience, runtime })
    }
}

/// Whether what is before a colon begins a URL. A path may have a colon, too.
fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
}

/// Files below a folder. It need not be there; the first file makes it.
fn local(folder: &Path, url: &str, patience: Patience) -> Result<Store, CheckpointError> {
    let wrong = |reason: String| CheckpointError::Url { url: url.to_owned(), reason };
    let folder: PathBuf = std::path::absolute(folder).map_err(|error| wrong(error.to_string()))?;
    let is_upwards = folder.components().any(|part| matches!(part, std::path::Component::ParentDir));
    // `..` is for the file system to follow: what is before it may be a link. It can only if the folder is there.
    let folder = if is_upwards {
        let there = |error| wrong(format!("{error}; make the folder, or write a path without `..`"));
        folder.canonicalize().map_err(there)?
    } else {
        folder
    };
    let prefix = ObjectPath::from_absolute_path(&folder).map_err(|error| wrong(error.to_string()))?;
    // A lost power supply must not take a checkpoint that others have been told of.
    let objects = Arc::new(LocalFileSystem::new().with_fsync(true));
    let url = format!("file://{}", folder.display());
    let mut store = Store::over(objects, url.trim_end_matches('/'), patience)?;
    store.prefix = prefix;
    store.local = Some(Arc::new(folder));
    Ok(store)
}

fn s3(
    url: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    patience: Patience,
) -> Result<Store, CheckpointError> {
    let wrong = |reason: String| CheckpointError::Url { url: url.to_owned(), reason };
    let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no bucket, write `s3://bucket/prefix`".to_owned()));
    }
    let prefix = ObjectPath::from_url_path(parsed.path()).map_err(|error| wrong(error.to_string()))?;
    let variables: Vec<(AmazonS3ConfigKey, String)> = environment
        .into_iter()
        .filter(|(key, _)| key.starts_with("AWS_"))
        .filter_map(|(key, value)| Some((key.to_ascii_lowercase().parse().ok()?, value)))
        .collect();
    // Whoever writes an endpoint without TLS has allowed it.
    let is_plain = variables.iter().any(|(key, value)| {
        matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint) && value.starts_with("http://")
    });
    let client = ClientOptions::new()
        .with_connect_timeout(patience.connect)
        .with_timeout(patience.request)
        .with_allow_http(is_plain);
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: patience.pause, max_backoff: PAUSE_MAX, base: 2.0 },
        max_retries: patience.retries,
        retry_timeout: patience.total,
    };
    let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry).with_url(url);
    for (key, value) in variables {
        builder = builder.with_config(key, value);
    }
    let objects = builder.build().map_err(|error| wrong(error.to_string()))?;
    let mut store = Store::over(Arc::new(objects), url.trim_end_matches('/'), patience)?;
    store.prefix = prefix;
    Ok(store)
}
