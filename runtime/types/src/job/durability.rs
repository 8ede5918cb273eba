//! What a job does so that a crash costs nothing: the tables `[checkpoint]`, `[state]` and `[restart]`.
//!
//! Names and defaults are Flink's where it has them.

use super::{JobError, Options};
use toml::Value;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

/// The shortest time between two checkpoints: an epoch.
const INTERVAL_MS_MIN: u64 = 10;
/// The default time between two checkpoints.
const INTERVAL_MS_DEFAULT: u64 = SECOND_MS;
/// After this time a checkpoint has failed, by default.
const TIMEOUT_MS_DEFAULT: u64 = 10 * MINUTE_MS;
/// How many checkpoints are kept by default.
const KEEP_DEFAULT: u32 = 3;
/// What RocksDB may use in a process by default.
const STATE_MEMORY_BYTES_DEFAULT: u64 = 512 << 20;
/// The default time before a restart, and before the first one when it grows.
const DELAY_MS_DEFAULT: u64 = SECOND_MS;
/// The longest time before a restart by default.
const DELAY_MS_MAX_DEFAULT: u64 = MINUTE_MS;
/// By how much the time before a restart grows each time, by default.
const MULTIPLIER_DEFAULT: f64 = 1.5;

/// When and where checkpoints are taken: `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSpec {
    /// `interval`: from the start of one checkpoint to the start of the next.
    pub interval_ms: u64,
    /// `timeout`: a checkpoint that takes longer has failed.
    pub timeout_ms: u64,
    /// `min-pause`: at least so long from the end of one checkpoint to the start of the next.
    pub min_pause_ms: u64,
    /// `store`: a URL, or a path from the job file's folder; `None`: the folder `checkpoints` in the job's data folder.
    pub store: Option<String>,
    /// `keep`: how many complete checkpoints are kept; at least one.
    pub keep: u32,
    /// `tolerable-failures`: how many checkpoints may fail one after the other before the job does; `None`: any number.
    pub tolerable_failures: Option<u32>,
    /// Line of the table.
    pub line: usize,
}

/// Where keyed state is kept while the job runs: `[state]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateSpec {
    /// `backend`.
    pub backend: BackendSpec,
    /// Line of the table; 0 when there is none.
    pub line: usize,
}

/// What holds keyed state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendSpec {
    /// `memory`: hash tables; as fast as it gets, and as large as memory.
    #[default]
    Memory,
    /// `rocksdb`: on disk, under a cache.
    RocksDb {
        /// `memory`: what all of RocksDB and its caches may use in one process.
        memory_bytes_max: u64,
    },
}

/// What happens when a job has failed: `[restart]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartSpec {
    /// `strategy`, with its times.
    pub strategy: RestartStrategy,
    /// `max`: when it is enough.
    pub max: Option<RestartLimit>,
    /// Line of the table; 0 when there is none.
    pub line: usize,
}

/// How long to wait before a job is started again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestartStrategy {
    /// It is not: the first failure is the end.
    None,
    /// Always the same time.
    Fixed {
        /// `delay`.
        delay_ms: u64,
    },
    /// A time that grows with each failure, and begins anew when the job has run well for long.
    Exponential {
        /// `delay`: before the first restart.
        delay_ms: u64,
        /// `max-delay`.
        delay_ms_max: u64,
        /// `multiplier`: at least 1.
        multiplier: f64,
    },
}

/// How many restarts are too many: `max = { restarts = 5, within = "10m" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// `restarts`: one more, and the job has failed.
    pub restarts: u32,
    /// `within`: only restarts of this last while count; `None`: all since the job was started.
    pub within_ms: Option<u64>,
}

/// Reads `[checkpoint]`.
pub(super) fn checkpoint(root: &mut Options) -> Result<Option<CheckpointSpec>, JobError> {
    let Some(mut table) = root.take_table("checkpoint")? else { return Ok(None) };
    let interval_ms = table.take_millis("interval")?.unwrap_or(INTERVAL_MS_DEFAULT);
    if interval_ms < INTERVAL_MS_MIN {
        return Err(table.error("interval", format!("has to be at least {INTERVAL_MS_MIN}ms, the length of an epoch")));
    }
    let timeout_ms = table.take_millis("timeout")?.unwrap_or(TIMEOUT_MS_DEFAULT);
    if timeout_ms == 0 {
        return Err(table.error("timeout", "has to be more than 0"));
    }
    let min_pause_ms = table.take_millis("min-pause")?.unwrap_or(0);
    let store: Option<String> = table.take("store")?;
    if store.as_deref().is_some_and(|store| store.trim().is_empty()) {
        return Err(table.error("store", "is empty").with_hint("give a URL such as \"s3://bucket/job\", or a path"));
    }
    let keep = take_count(&mut table, "keep", 1)?.unwrap_or(KEEP_DEFAULT);
    let tolerable_failures = take_count(&mut table, "tolerable-failures", 0)?;
    table.finish()?;
    let line = table.line();
    Ok(Some(CheckpointSpec { interval_ms, timeout_ms, min_pause_ms, store, keep, tolerable_failures, line }))
}

/// Reads `[state]`.
pub(super) fn state(root: &mut Options) -> Result<StateSpec, JobError> {
    let Some(mut table) = root.take_table("state")? else { return Ok(StateSpec::default()) };
    let backends = [("memory", false), ("rocksdb", true)];
    let is_rocksdb = table.take_choice("backend", &backends)?.unwrap_or_default();
    let memory_bytes_max = table.take_bytes("memory")?;
    table.finish()?;
    let backend = match (is_rocksdb, memory_bytes_max) {
        (false, None) => BackendSpec::Memory,
        (false, Some(_)) => {
            let error = table.error("memory", "only the backend \"rocksdb\" has a budget");
            return Err(error.with_hint("add backend = \"rocksdb\", or remove it: memory holds what it has to"));
        }
        (true, Some(0)) => return Err(table.error("memory", "has to be more than 0")),
        (true, bytes) => BackendSpec::RocksDb { memory_bytes_max: bytes.unwrap_or(STATE_MEMORY_BYTES_DEFAULT) },
    };
    Ok(StateSpec { backend, line: table.line() })
}

/// Reads `[restart]`. A job is started again by default when it has checkpoints to start from.
pub(super) fn restart(root: &mut Options, has_checkpoints: bool) -> Result<RestartSpec, JobError> {
    let exponential = RestartStrategy::Exponential {
        delay_ms: DELAY_MS_DEFAULT,
        delay_ms_max: DELAY_MS_MAX_DEFAULT,
        multiplier: MULTIPLIER_DEFAULT,
    };
    let Some(mut table) = root.take_table("restart")? else {
        let strategy = if has_checkpoints { exponential } else { RestartStrategy::None };
        return Ok(RestartSpec { strategy, max: None, line: 0 });
    };
    let fixed = RestartStrategy::Fixed { delay_ms: DELAY_MS_DEFAULT };
    let choices = [("exponential", exponential), ("fixed", fixed), ("none", RestartStrategy::None)];
    let mut strategy = table.take_choice("strategy", &choices)?.unwrap_or(exponential);
    match &mut strategy {
        RestartStrategy::None => {}
        RestartStrategy::Fixed { delay_ms } => *delay_ms = table.take_millis("delay")?.unwrap_or(*delay_ms),
        RestartStrategy::Exponential { delay_ms, delay_ms_max, multiplier } => {
            *delay_ms = table.take_millis("delay")?.unwrap_or(*delay_ms);
            *delay_ms_max = table.take_millis("max-delay")?.unwrap_or((*delay_ms_max).max(*delay_ms));
            if *delay_ms_max < *delay_ms {
                return Err(table.error("max-delay", "has to be at least \"delay\""));
            }
            *multiplier = take_multiplier(&mut table)?.unwrap_or(*multiplier);
        }
    }
    let max = if strategy == RestartStrategy::None { None } else { restart_limit(&mut table)? };
    table.finish()?;
    Ok(RestartSpec { strategy, max, line: table.line() })
}

fn restart_limit(table: &mut Options) -> Result<Option<RestartLimit>, JobError> {
    let Some(mut max) = table.take_table("max")? else { return Ok(None) };
    let restarts = take_count(&mut max, "restarts", 1)?.ok_or_else(|| max.missing("restarts"))?;
    let within_ms = max.take_millis("within")?;
    if within_ms == Some(0) {
        return Err(max.error("within", "has to be more than 0"));
    }
    max.finish()?;
    Ok(Some(RestartLimit { restarts, within_ms }))
}

/// `1.5`, or `2`.
fn take_multiplier(table: &mut Options) -> Result<Option<f64>, JobError> {
    let multiplier = match table.take::<Value>("multiplier")? {
        None => return Ok(None),
        Some(Value::Float(number)) => number,
        Some(Value::Integer(number)) => number as f64,
        Some(other) => {
            return Err(table.error("multiplier", format!("invalid type: {}, expected a number", other.type_str())));
        }
    };
    match multiplier.is_finite() && multiplier >= 1.0 {
        true => Ok(Some(multiplier)),
        false => Err(table.error("multiplier", "has to be at least 1")),
    }
}

/// A number of things, at least `min`.
fn take_count(table: &mut Options, key: &str, min: u32) -> Result<Option<u32>, JobError> {
    let Some(value) = table.take::<Value>(key)? else { return Ok(None) };
    let count = value.as_integer().and_then(|number| u32::try_from(number).ok()).filter(|&count| count >= min);
    match count {
        Some(count) => Ok(Some(count)),
        None => Err(table.error(key, format!("{value} is not a number from {min}"))),
    }
}
