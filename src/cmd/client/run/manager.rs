//! The manager task of a run: what a worker-manager is asked for.

use super::endpoints::Endpoints;
use bytes::Bytes;
use conveyor_client::run::ManagerSpec;
use serde_json::{Value, json};
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
    /// What the run submits.
    pub(super) fn spec(&self, run: &str, endpoints: &Endpoints) -> ManagerSpec {
        let (manager, run) = (self.clone(), run.to_owned());
        let addresses: serde_json::Map<String, Value> =
            endpoints.addresses.iter().map(|(key, address)| ((*key).to_owned(), json!(address))).collect();
        let payload = move |number: u32, tasks: usize| manager.payload(&run, number, tasks, &addresses);
        ManagerSpec { function: self.function.clone(), payload: Arc::new(payload) }
    }

    fn payload(
        &self,
        run: &str,
        number: u32,
        tasks: usize,
        endpoints: &serde_json::Map<String, Value>,
    ) -> Bytes {
        let task = json!({
            "manager_type": self.kind,
            "task_id": format!("{run}/{number}"),
            "tasks_number": tasks,
            "command": self.command,
            "most_at_once": self.processes,
            "memory_percent": self.memory,
            "cpu_percent": self.cpu,
            "endpoints": endpoints,
        });
        Bytes::from(task.to_string())
    }
}
