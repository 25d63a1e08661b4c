//! [`ManagerTask`] as the DTOs of the PHP packages.
//!
//! What is read is tolerant of properties it does not know, such as those of parent classes, of missing ones, and of
//! objects of any class in them. Where something was read, only what has changed is written into it, so that all else
//! stays byte for byte.

use super::edit::{Numbered, is_called, replace};
use super::typed::{id_of, id_value, wrong, wrong_type};
use super::value::{Property, Value};
use crate::payload::{Endpoints, Limits, ManagerTask, PayloadError, Problem};
use bytes::Bytes;

type Read<T> = Result<T, PayloadError>;

const TASK_CLASS: &str = "Gearman\\Conveyor\\Inventory\\GearmanDto";
const PROCESS_CLASS: &str = "React\\ProcessManager\\Inventory\\ProcessManagerDto";
const LOAD_CLASS: &str = "React\\ProcessManager\\LoadManager\\Inventory\\LoadManagerDto";
const PERFORMERS_CLASS: &str = "React\\PublisherPulsar\\Inventory\\PerformerSocketsParamsDto";

const PROCESS: &str = "processManagerDto";
const LOAD: &str = "loadManagerDto";
const PERFORMERS: &str = "performerSocketsParams";

/// `interMessageInterval` of a process manager, microseconds.
const INTERVAL_US: i64 = 1_000_000;

/// What an object says, and which of the objects inside it are there.
struct Known {
    task: ManagerTask,
    process: bool,
    load: bool,
    performers: bool,
}

/// An object of the class that it must have.
struct Dto<'a> {
    all: &'a Numbered<'a>,
    properties: &'a [(Property, Value)],
}

impl<'a> Dto<'a> {
    /// The object that `value` of `field` is; none for null.
    fn of(all: &'a Numbered<'a>, value: &'a Value, field: &'static str, class: &str) -> Read<Option<Self>> {
        match all.resolve(value) {
            Some(Value::Null) => Ok(None),
            Some(Value::Object { class: own, properties }) if own == class => {
                Ok(Some(Self { all, properties }))
            }
            Some(Value::Object { class, .. }) => {
                let class = String::from_utf8_lossy(class).into_owned();
                Err(wrong(Problem::WrongClassOf { field, class }))
            }
            _ => Err(wrong_type(field)),
        }
    }

    /// A property as it stands, null when it is missing.
    fn raw(&self, field: &'static str) -> &'a Value {
        let mut properties = self.properties.iter();
        properties.find(|(property, _)| is_called(property, field)).map_or(&Value::Null, |(_, value)| value)
    }

    fn get(&self, field: &'static str) -> Read<&'a Value> {
        self.all.resolve(self.raw(field)).ok_or_else(|| wrong_type(field))
    }

    fn object(&self, field: &'static str, class: &str) -> Read<Option<Self>> {
        Self::of(self.all, self.raw(field), field, class)
    }

    fn bytes(&self, field: &'static str) -> Read<Option<Bytes>> {
        match self.get(field)? {
            Value::Null => Ok(None),
            Value::Bytes(text) => Ok(Some(text.clone())),
            _ => Err(wrong_type(field)),
        }
    }

    fn text(&self, field: &'static str) -> Read<Option<String>> {
        let text = self.bytes(field)?.map(|text| String::from_utf8(text.to_vec()));
        text.transpose().map_err(|_| wrong_type(field))
    }

    fn number(&self, field: &'static str) -> Read<Option<u32>> {
        match self.get(field)? {
            Value::Null => Ok(None),
            Value::Int(number) => u32::try_from(*number).map(Some).map_err(|_| wrong_type(field)),
            _ => Err(wrong_type(field)),
        }
    }
}

fn read(value: &Value) -> Read<Known> {
    let all = Numbered::new(value);
    let dto = match value {
        Value::Object { class, properties } if class == TASK_CLASS => Dto { all: &all, properties },
        Value::Object { class, .. } => {
            return Err(wrong(Problem::WrongClass(String::from_utf8_lossy(class).into_owned())));
        }
        _ => return Err(wrong(Problem::Expected("a GearmanDto"))),
    };
    let mut task = ManagerTask {
        manager_type: dto.text("managerType")?,
        task_id: id_of(dto.get("taskId")?).ok_or_else(|| wrong_type("taskId"))?,
        ..ManagerTask::default()
    };
    let Some(process) = dto.object(PROCESS, PROCESS_CLASS)? else {
        return Ok(Known { task, process: false, load: false, performers: false });
    };
    task.tasks_number = process.number("tasksNumber")?.unwrap_or_default();
    task.command = process.bytes("workerProcessCommand")?;
    task.most_at_once = process.number("maxSimultaneousProcesses")?;
    let load = process.object(LOAD, LOAD_CLASS)?;
    if let Some(load) = &load {
        let memory = load.number("memFreeUsagePercentageLimit")?;
        task.memory_percent = memory.unwrap_or(ManagerTask::MEMORY_PERCENT);
        task.cpu_percent = load.number("cpuUsagePercentageLimit")?.unwrap_or(ManagerTask::CPU_PERCENT);
    }
    let performers = process.object(PERFORMERS, PERFORMERS_CLASS)?;
    if let Some(performers) = &performers {
        task.endpoints = Endpoints {
            request_pulsar: performers.text("requestPulsarRsSocketAddress")?,
            publisher_pulsar: performers.text("publisherPulsarSocketAddress")?,
            push_pulsar: performers.text("pushPulsarSocketAddress")?,
            publisher_pm: performers.text("publisherPmSocketAddress")?,
        };
    }
    Ok(Known { task, process: true, load: load.is_some(), performers: performers.is_some() })
}

fn text_value(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| Value::Bytes(Bytes::copy_from_slice(text.as_bytes())))
}

fn number_value(number: u32) -> Value {
    Value::Int(i64::from(number))
}

/// The fields of [`TASK_CLASS`] that are plain values.
fn task_fields(task: &ManagerTask) -> Fields<2> {
    [("managerType", text_value(task.manager_type.as_ref())), ("taskId", id_value(task.task_id.as_ref()))]
}

/// As [`task_fields`], of [`PROCESS_CLASS`].
fn process_fields(task: &ManagerTask) -> Fields<3> {
    [
        ("tasksNumber", number_value(task.tasks_number)),
        ("workerProcessCommand", task.command.clone().map_or(Value::Null, Value::Bytes)),
        ("maxSimultaneousProcesses", task.most_at_once.map_or(Value::Null, number_value)),
    ]
}

/// As [`task_fields`], of [`LOAD_CLASS`].
fn load_fields(task: &ManagerTask) -> Fields<2> {
    [
        ("memFreeUsagePercentageLimit", number_value(task.memory_percent)),
        ("cpuUsagePercentageLimit", number_value(task.cpu_percent)),
    ]
}

/// As [`task_fields`], of [`PERFORMERS_CLASS`].
fn performer_fields(task: &ManagerTask) -> Fields<4> {
    let Endpoints { request_pulsar, publisher_pulsar, push_pulsar, publisher_pm } = &task.endpoints;
    [
        ("requestPulsarRsSocketAddress", text_value(request_pulsar.as_ref())),
        ("publisherPulsarSocketAddress", text_value(publisher_pulsar.as_ref())),
        ("pushPulsarSocketAddress", text_value(push_pulsar.as_ref())),
        ("publisherPmSocketAddress", text_value(publisher_pm.as_ref())),
    ]
}

fn object(class: &'static str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let protected = |(name, value): (&'static str, Value)| {
        (Property::Protected(Bytes::from_static(name.as_bytes())), value)
    };
    Value::Object {
        class: Bytes::from_static(class.as_bytes()),
        properties: fields.into_iter().map(protected).collect(),
    }
}

/// The whole object, as PHP writes one in which nothing else was set.
fn whole(task: &ManagerTask) -> Value {
    let [manager_type, task_id] = task_fields(task);
    object(TASK_CLASS, [manager_type, (PROCESS, process_object(task)), task_id])
}

fn process_object(task: &ManagerTask) -> Value {
    let [tasks_number, command, most_at_once] = process_fields(task);
    let performers =
        if task.endpoints == Endpoints::default() { Value::Null } else { performers_object(task) };
    let fields = [
        ("pmLmSocketsParams", Value::Null),
        tasks_number,
        command,
        ("loadManagerProcessCommand", Value::Null),
        (LOAD, load_object(task)),
        (PERFORMERS, performers),
        most_at_once,
        ("interMessageInterval", Value::Int(INTERVAL_US)),
    ];
    object(PROCESS_CLASS, fields)
}

fn load_object(task: &ManagerTask) -> Value {
    let [memory, cpu] = load_fields(task);
    let fields = [
        ("pmLmSocketsParams", Value::Null),
        ("pids", Value::Null),
        memory,
        ("memFreeUsagePercentageLimitPerProcess", Value::Null),
        cpu,
        ("cpuGapPercentage", Value::Null),
        ("allowedPercentageToSubtractFromReserved", Value::Int(10)),
        ("idleZeroValueCheckSizeBeforeAttention", Value::Int(200)),
        ("pauseForbidden", Value::Null),
        ("minMemFreeSize", Value::Null),
        ("standardMemoryGap", Value::Null),
    ];
    object(LOAD_CLASS, fields)
}

fn performers_object(task: &ManagerTask) -> Value {
    object(PERFORMERS_CLASS, performer_fields(task))
}

/// Plain values by the names of their properties.
type Fields<const N: usize> = [(&'static str, Value); N];

/// Writes what differs between `was` and `fields` into the object at `path`, or `new` when there is no object.
fn update<const N: usize>(
    root: &mut Value,
    path: &[&'static str],
    (was, fields): (Fields<N>, Fields<N>),
    new: Option<Value>,
) -> Read<()> {
    if was == fields {
        return Ok(());
    }
    if let Some(new) = new {
        return replace(root, path, new).map_err(wrong);
    }
    for ((_, before), (name, after)) in was.into_iter().zip(fields) {
        if before != after {
            replace(root, &[path, &[name]].concat(), after).map_err(wrong)?;
        }
    }
    Ok(())
}

/// `original` with what `task` says.
fn changed(task: &ManagerTask, original: &Value) -> Read<Value> {
    let mut value = original.clone();
    let Known { task: was, process, load, performers } = read(original)?;
    update(&mut value, &[], (task_fields(&was), task_fields(task)), None)?;
    if !process {
        let (manager_type, task_id) = (task.manager_type.clone(), task.task_id.clone());
        let nothing = ManagerTask { manager_type, task_id, ..ManagerTask::default() };
        if (ManagerTask { original: None, ..task.clone() }) != nothing {
            replace(&mut value, &[PROCESS], process_object(task)).map_err(wrong)?;
        }
        return Ok(value);
    }
    update(&mut value, &[PROCESS], (process_fields(&was), process_fields(task)), None)?;
    let new = (!load).then(|| load_object(task));
    update(&mut value, &[PROCESS, LOAD], (load_fields(&was), load_fields(task)), new)?;
    let new = (!performers).then(|| performers_object(task));
    update(&mut value, &[PROCESS, PERFORMERS], (performer_fields(&was), performer_fields(task)), new)?;
    Ok(value)
}

pub(in crate::payload) fn encode(task: &ManagerTask, limits: &Limits) -> Read<Vec<u8>> {
    match &task.original {
        None => super::encode(&whole(task), limits),
        Some(original) => super::encode(&changed(task, original)?, limits),
    }
}

pub(in crate::payload) fn decode(input: &Bytes, limits: &Limits) -> Read<ManagerTask> {
    let value = super::decode(input, limits)?;
    let task = read(&value)?.task;
    let says_all = encode(&task, limits).is_ok_and(|bytes| bytes == *input);
    Ok(ManagerTask { original: (!says_all).then_some(value), ..task })
}
