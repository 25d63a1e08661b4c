//! The manager task of a run: what a worker-manager is asked for.

use super::endpoints::Endpoints;
use bytes::Bytes;
use conveyor_client::payload::{self, Codec, Limits, ManagerTask};
use conveyor_client::run::ManagerSpec;
use std::sync::Arc;

/// A manager, as the options have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manager {
    pub(super) function: String,
    pub(super) kind: String,
    pub(super) command: String,
    /// Most performers at a time.
    pub(super) processes: Option<u32>,
    /// Percent of free memory.
    pub(super) memory: u32,
    /// Percent of all processors.
    pub(super) cpu: u32,
}

impl Manager {
    /// What the run submits. Raw has no place for it: then it is JSON.
    pub(super) fn spec(&self, run: &str, codec: Codec, endpoints: &Endpoints) -> ManagerSpec {
        let codec = if codec == Codec::Raw { Codec::Json } else { codec };
        let address = |wanted: &str| {
            let found = endpoints.addresses.iter().find(|(key, _)| *key == wanted);
            found.map(|(_, address)| address.clone())
        };
        let task = ManagerTask {
            manager_type: Some(self.kind.clone()),
            most_at_once: self.processes,
            memory_percent: self.memory,
            cpu_percent: self.cpu,
            endpoints: payload::Endpoints {
                request_pulsar: address("request_pulsar"),
                publisher_pulsar: address("publisher_pulsar"),
                push_pulsar: address("push_pulsar"),
                publisher_pm: address("publisher_pm"),
            },
            ..ManagerTask::new("", 0, self.command.clone())
        };
        let run = run.to_owned();
        let payload = move |number: u32, tasks: usize| {
            let task = ManagerTask {
                task_id: Some(format!("{run}/{number}").as_str().into()),
                tasks_number: u32::try_from(tasks).unwrap_or(u32::MAX),
                ..task.clone()
            };
            // Nothing in it can be too large or have no form in these codecs; an empty one is an error of the manager.
            codec.encode(&task, &Limits::default()).map(Bytes::from).unwrap_or_default()
        };
        ManagerSpec { function: self.function.clone(), payload: Arc::new(payload) }
    }
}
