//! A capsule: one call that failed, with all that it saw, in one piece of bytes, so that it can be made again anywhere.
//!
//! It is a line of JSON and then, as they are, the frame that went in and the component, if it is in it. So
//! `head -1 FILE | jq` shows what there is to read.

use crate::component::{Component, digest_of};
use crate::error::GuestError;
use crate::frame::{Frame, FrameWriter, column, u32s};
use crate::host::http;
use crate::host::state::{Answered, Replayed};
use crate::instance::{Call, Export, Instance, InstanceSettings};
use crate::limits::Limits;
use crate::output::CallShape;
use crate::runtime::Runtime;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use tidewheel_types::World;
use tidewheel_types::keyed_state::{Cells, StateIndex};

/// The version of the format.
const VERSION: u32 = 1;

/// A call that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Capsule {
    /// What there is to read of it.
    pub facts: CapsuleFacts,
    /// What went in.
    frame: Vec<u8>,
    /// The component; empty if it is not here.
    component: Vec<u8>,
}

/// What a capsule says in words and numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CapsuleFacts {
    tidewheel_capsule: u32,
    /// The job.
    pub job: String,
    /// The operator.
    pub operator: String,
    /// The worker it ran on.
    pub worker: usize,
    /// What the call could not process: a record with its place, a timer, a window, a value of state.
    pub target: String,
    /// Why it failed, with the guest's functions.
    pub failure: String,
    /// SHA-256 of the component, in hexadecimal.
    pub component: String,
    /// Where it was loaded from.
    pub component_path: Option<String>,
    /// Its world.
    pub world: World,
    /// What `open` was given.
    pub config: String,
    /// The environment variables that it saw. Their values may be secrets, so they are not here.
    pub environment: Vec<String>,
    /// What it could use.
    pub limits: Limits,
    /// The function that failed.
    pub failed: Failed,
    /// Clock, watermark and seed of the call.
    pub call: Call,
    /// Records and groups of the frame.
    pub shape: CallShape,
    /// What host functions answered of state.
    answers: Vec<Answered>,
    /// What was answered over HTTP, from when the instance was opened on.
    #[serde(default)]
    http: Vec<http::Answered>,
    frame_bytes: usize,
    component_bytes: usize,
}

/// The function that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failed {
    /// One that takes a frame of records, timers or windows.
    Call(Export),
    /// `migrate`, of a value of a state that was written under a schema version.
    Migrate {
        /// The state's place in the description.
        state: u32,
        /// The version.
        version: u32,
    },
}

/// Why something is no capsule, or its call cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// The bytes are something else.
    #[error("it is not a capsule: {0}")]
    Damaged(String),
    /// It was written by a later version.
    #[error("it is a capsule of version {0}, and this program reads up to {VERSION}: use a newer one")]
    Version(u32),
    /// The component is not in it.
    #[error("the component is not in it: give --component FILE, of the one with digest {digest}{}", place(path.as_ref()))]
    NoComponent {
        /// Its digest.
        digest: String,
        /// Where it was.
        path: Option<String>,
    },
    /// The component in it cannot be loaded.
    #[error(transparent)]
    Guest(#[from] GuestError),
}

fn place(path: Option<&String>) -> String {
    path.map(|path| format!(" (it was {path})")).unwrap_or_default()
}

impl Instance {
    /// A capsule of the last call, which failed as `error` says and got `frame`; `job` and `target` are the caller's words.
    /// What it was told of state and over HTTP is in it if [`keep_answers`](Self::keep_answers) was set.
    pub fn capsule(
        &self,
        (export, call, shape): (Export, Call, CallShape),
        frame: &[u8],
        error: &GuestError,
        (job, target): (&str, String),
    ) -> Capsule {
        let (component, settings, (answers, http)) = (self.component(), self.settings(), self.answers());
        let facts = CapsuleFacts {
            tidewheel_capsule: VERSION,
            job: job.to_owned(),
            operator: settings.operator.clone(),
            worker: settings.worker,
            target,
            failure: error.to_string(),
            component: component.digest().to_owned(),
            component_path: component.path().map(|path| path.display().to_string()),
            world: component.world(),
            config: settings.config.clone(),
            environment: settings.environment.iter().map(|(name, _)| name.clone()).collect(),
            limits: settings.limits,
            failed: Failed::Call(export),
            call,
            shape,
            answers: answers.clone(),
            http: http.clone(),
            frame_bytes: frame.len(),
            component_bytes: 0,
        };
        Capsule { facts, frame: frame.to_vec(), component: Vec::new() }
    }

    /// The same of `migrate`, which failed of one value.
    pub fn migrate_capsule(
        &self,
        (state, version, value): (StateIndex, u32, &[u8]),
        error: &GuestError,
        (job, target): (&str, String),
    ) -> Capsule {
        let mut frame = Vec::new();
        let mut writer = FrameWriter::new(&mut frame, &[column::CELL_ENDS, column::CELLS]);
        writer.numbers(column::CELL_ENDS, &[value.len() as u32]);
        writer.numbers(column::CELLS, value);
        writer.finish();
        let call = (Export::Process, Call::NONE, CallShape::default());
        let mut capsule = self.capsule(call, &frame, error, (job, target));
        capsule.facts.failed = Failed::Migrate { state: state.0, version };
        capsule
    }
}

impl Capsule {
    /// Puts the component into it, if its file is still there and what it was, and both do not have more than `bytes_max`.
    pub fn add_component(&mut self, component: &Component, bytes_max: u64) {
        let room = bytes_max.saturating_sub(self.frame.len() as u64);
        if component.size_bytes() as u64 > room {
            return;
        }
        let bytes = component.path().and_then(|path| std::fs::read(path).ok());
        if let Some(bytes) = bytes.filter(|bytes| digest_of(bytes) == component.digest()) {
            self.facts.component_bytes = bytes.len();
            self.component = bytes;
        }
    }

    /// As it is written to a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&self.facts).expect("facts are JSON");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.frame);
        bytes.extend_from_slice(&self.component);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Capsule, CapsuleError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Version {
            tidewheel_capsule: u32,
        }
        let damaged = |what: &str| CapsuleError::Damaged(what.to_owned());
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged("it has no first line"))?;
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let wrong = |error: serde_json::Error| damaged(&format!("its first line is wrong ({error})"));
        let version: Version = serde_json::from_slice(line).map_err(wrong)?;
        if version.tidewheel_capsule > VERSION {
            return Err(CapsuleError::Version(version.tidewheel_capsule));
        }
        let facts: CapsuleFacts = serde_json::from_slice(line).map_err(wrong)?;
        let is_whole = facts.frame_bytes.checked_add(facts.component_bytes) == Some(rest.len());
        if !is_whole {
            return Err(damaged("it has been cut or added to"));
        }
        let (frame, component) = rest.split_at(facts.frame_bytes);
        Frame::read(frame).map_err(|error| damaged(&error.to_string()))?;
        if !component.is_empty() && digest_of(component) != facts.component {
            return Err(damaged("the component in it is not what it was"));
        }
        Ok(Capsule { frame: frame.to_vec(), component: component.to_vec(), facts })
    }

    /// The values of the records in the frame; of windows their accumulators, of `migrate` what is migrated.
    pub fn values(&self) -> Vec<&[u8]> {
        let frame = Frame::read(&self.frame).expect("it has been read, or written by the host");
        let (ends, bytes) = match self.facts.failed {
            Failed::Call(_) => (column::VALUE_ENDS, column::VALUES),
            Failed::Migrate { .. } => (column::CELL_ENDS, column::CELLS),
        };
        let (bytes, mut start) = (frame.column(bytes), 0);
        let values = u32s(frame.column(ends)).map(|end| {
            let value = bytes.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            value
        });
        values.collect()
    }

    /// Loads the component that is in it.
    pub fn component(&self, runtime: &Runtime) -> Result<Component, CapsuleError> {
        if self.component.is_empty() {
            let CapsuleFacts { component, component_path, .. } = &self.facts;
            return Err(CapsuleError::NoComponent { digest: component.clone(), path: component_path.clone() });
        }
        Ok(runtime.load_bytes(&self.facts.operator, &self.component)?)
    }

    /// Makes its call once more, with `component`, which sees `environment`. What it gives is checked and then dropped.
    pub fn replay(&self, component: &Component, environment: Vec<(String, String)>) -> Result<(), GuestError> {
        let facts = &self.facts;
        let mut instance = component.instantiate(InstanceSettings {
            operator: facts.operator.clone(),
            worker: facts.worker,
            config: facts.config.clone(),
            environment,
            http: http::Answered::replay(facts.http.clone()),
            is_replay: true,
            limits: facts.limits,
            state: Some(Rc::new(RefCell::new(Replayed::new(&facts.answers)))),
            ..InstanceSettings::default()
        })?;
        let called = match facts.failed {
            Failed::Call(export) => instance.call(export, facts.call, &self.frame, &facts.shape).map(drop),
            Failed::Migrate { state, version } => {
                let mut cells = Cells::default();
                self.values().into_iter().for_each(|value| cells.push(Some(value)));
                instance.migrate(StateIndex(state), version, &cells).map(drop)
            }
        };
        called.map_err(|error| component.located(error))
    }
}
