//! What a client asks of a worker-manager.

use super::{Codec, Limits, Payload, PayloadError, Problem, TaskId, bincode, json, php, sealed};
use bytes::Bytes;

/// What a client asks of a worker-manager: that so many performers of one kind work off its tasks, within limits.
///
/// In PHP it is `Gearman\Conveyor\Inventory\GearmanDto` with the DTOs of the process manager and of the load manager
/// inside. What such an object holds beyond the fields here, a logger for instance, is kept in
/// [`original`](Self::original) and written again.
///
/// ```
/// use conveyor_common::payload::{Codec, Limits, ManagerTask};
///
/// let limits = Limits::default();
/// let task = ManagerTask { most_at_once: Some(4), ..ManagerTask::new("pm-1", 20, "php performer.php") };
/// let bytes = Codec::Php.encode(&task, &limits).unwrap();
/// assert_eq!(Codec::Php.decode::<ManagerTask>(&bytes.into(), &limits), Ok(task));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerTask {
    /// `managerType`: the kind of manager, [`ManagerTask::REACT`] in PHP. One that nobody knows is an error of the
    /// manager, not of the payload.
    pub manager_type: Option<String>,
    /// `taskId`: the name of this task, which the manager's answer carries.
    pub task_id: Option<TaskId>,
    /// `tasksNumber`: how many performers there are to be in all.
    pub tasks_number: u32,
    /// `workerProcessCommand`: what starts a performer, for a shell.
    pub command: Option<Bytes>,
    /// `maxSimultaneousProcesses`: most performers at a time. To the managers in PHP 0 and 1 mean no limit; here the
    /// number is as it was given.
    pub most_at_once: Option<u32>,
    /// `memFreeUsagePercentageLimit`: how much of the free memory performers may take, in percent.
    pub memory_percent: u32,
    /// `cpuUsagePercentageLimit`: how much of all processors they may take, in percent.
    pub cpu_percent: u32,
    /// `performerSocketsParams`: the addresses that a performer is told when it starts.
    pub endpoints: Endpoints,
    /// The PHP object that was read, when it holds more than the fields above say. It is written again with what has
    /// changed in them. Codecs other than PHP's carry it serialized.
    pub original: Option<php::Value>,
}

/// Addresses for performers, such as `tcp://127.0.0.1:6268`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `requestPulsarRsSocketAddress`: where to ask for a turn.
    pub request_pulsar: Option<String>,
    /// `publisherPulsarSocketAddress`: where turns are announced.
    pub publisher_pulsar: Option<String>,
    /// `pushPulsarSocketAddress`: where to report.
    pub push_pulsar: Option<String>,
    /// `publisherPmSocketAddress`: where the manager says who must pause, go on or end.
    pub publisher_pm: Option<String>,
}

impl ManagerTask {
    /// The only kind of manager of the PHP packages.
    pub const REACT: &str = "REACT_PROCESS_MANAGER";
    /// [`ManagerTask::memory_percent`] where nothing is said.
    pub const MEMORY_PERCENT: u32 = 50;
    /// [`ManagerTask::cpu_percent`] where nothing is said.
    pub const CPU_PERCENT: u32 = 100;

    /// `tasks_number` performers started by `command`, with the limits that the PHP packages have by default.
    #[must_use]
    pub fn new(task_id: impl Into<TaskId>, tasks_number: u32, command: impl Into<Bytes>) -> Self {
        Self {
            manager_type: Some(Self::REACT.to_owned()),
            task_id: Some(task_id.into()),
            tasks_number,
            command: Some(command.into()),
            ..Self::default()
        }
    }
}

impl Default for ManagerTask {
    /// Nothing is said.
    fn default() -> Self {
        Self {
            manager_type: None,
            task_id: None,
            tasks_number: 0,
            command: None,
            most_at_once: None,
            memory_percent: Self::MEMORY_PERCENT,
            cpu_percent: Self::CPU_PERCENT,
            endpoints: Endpoints::default(),
            original: None,
        }
    }
}

/// Raw bytes are the body of a task, and this has many fields.
const NO_RAW: PayloadError = PayloadError::new(
    Codec::Raw,
    0,
    Problem::Refused("the task of a manager, which json, bincode and php carry,"),
);

impl sealed::Sealed for ManagerTask {}

impl Payload for ManagerTask {
    fn encode(&self, codec: Codec, limits: &Limits) -> Result<Vec<u8>, PayloadError> {
        match codec {
            Codec::Raw => Err(NO_RAW),
            Codec::Json => json::encode_manager(self, limits),
            Codec::Bincode => bincode::encode_manager(self, limits),
            Codec::Php => php::manager::encode(self, limits),
        }
    }

    fn decode(codec: Codec, input: &Bytes, limits: &Limits) -> Result<Self, PayloadError> {
        match codec {
            Codec::Raw => Err(NO_RAW),
            Codec::Json => json::decode_manager(input, limits),
            Codec::Bincode => bincode::decode_manager(input, limits),
            Codec::Php => php::manager::decode(input, limits),
        }
    }
}
