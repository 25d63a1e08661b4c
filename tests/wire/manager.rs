//! The task of a manager in every codec, and what stays of a PHP object when it is changed.

use crate::payload::{decode, encode, id, recorded, some_bytes};
use conveyor_common::payload::php::Value;
use conveyor_common::payload::{Codec, Endpoints, Limits, ManagerTask, Problem};
use proptest::option;
use proptest::prelude::*;

/// A property as PHP writes it: `p("taskId", "N;")`.
fn p(name: &str, value: &str) -> String {
    format!("s:{}:\"\0*\0{name}\";{value}", name.len() + 3)
}

fn s(text: &str) -> String {
    format!("s:{}:\"{text}\";", text.len())
}

fn object(class: &str, properties: &[String]) -> String {
    format!("O:{}:\"{class}\":{}:{{{}}}", class.len(), properties.len(), properties.concat())
}

fn gearman(process: &str) -> String {
    let properties = [
        p("managerType", &s("REACT_PROCESS_MANAGER")),
        p("processManagerDto", process),
        p("taskId", &s("pm-1")),
    ];
    object("Gearman\\Conveyor\\Inventory\\GearmanDto", &properties)
}

fn process(properties: &[String]) -> String {
    object("React\\ProcessManager\\Inventory\\ProcessManagerDto", properties)
}

fn load(properties: &[String]) -> String {
    object("React\\ProcessManager\\LoadManager\\Inventory\\LoadManagerDto", properties)
}

fn performers(addresses: [&str; 4]) -> String {
    let names = ["requestPulsarRs", "publisherPulsar", "pushPulsar", "publisherPm"];
    let properties: Vec<String> = names
        .iter()
        .zip(addresses)
        .map(|(name, address)| p(&format!("{name}SocketAddress"), address))
        .collect();
    object("React\\PublisherPulsar\\Inventory\\PerformerSocketsParamsDto", &properties)
}

/// As an application has it: a logger of the parent class, which both DTOs share, as they share the addresses of the
/// dialogue. Numbers of values: 1 the whole, 2 the type, 3 the process manager, 4 the logger, ...
fn shared() -> String {
    let handler =
        object("Monolog\\Handler\\StreamHandler", &[p("url", &s("php://stderr")), p("level", "i:100;")]);
    let logger =
        object("Monolog\\Logger", &[p("name", &s("app")), p("handlers", &format!("a:1:{{i:0;{handler}}}"))]);
    let sockets = object(
        "React\\ProcessManager\\Inventory\\PmLmSocketsParamsDto",
        &[p("pmLmRequestAddress", &s("tcp://127.0.0.1:6267"))],
    );
    let load = load(&[
        p("logger", "r:4;"),
        p("moduleName", &s("load")),
        p("pmLmSocketsParams", "r:11;"),
        p("pids", "N;"),
        p("memFreeUsagePercentageLimit", "i:30;"),
        p("cpuUsagePercentageLimit", "i:80;"),
        p("pauseForbidden", "b:1;"),
    ]);
    gearman(&process(&[
        p("logger", &logger),
        p("moduleName", &s("manager")),
        p("pmLmSocketsParams", &sockets),
        p("tasksNumber", "i:20;"),
        p("workerProcessCommand", &s("php performer.php")),
        p("loadManagerProcessCommand", &s("php lm.php")),
        p("loadManagerDto", &load),
        p("performerSocketsParams", &performers(["N;", "N;", "N;", &s("tcp://127.0.0.1:6268")])),
        p("maxSimultaneousProcesses", "i:3;"),
        p("interMessageInterval", "i:1000000;"),
    ]))
}

/// Payloads to start from, for the targets that know no codec.
pub(crate) fn known() -> Vec<Vec<u8>> {
    let read: ManagerTask = decode(Codec::Php, shared().as_bytes()).unwrap();
    let ours = full();
    let mut known = vec![shared().into_bytes(), gearman("N;").into_bytes()];
    for codec in [Codec::Json, Codec::Bincode, Codec::Php] {
        known.extend([encode(codec, &read), encode(codec, &ours)]);
    }
    known
}

fn full() -> ManagerTask {
    ManagerTask {
        most_at_once: Some(3),
        memory_percent: 30,
        cpu_percent: 80,
        endpoints: Endpoints {
            publisher_pm: Some("tcp://127.0.0.1:6268".to_owned()),
            ..Endpoints::default()
        },
        ..ManagerTask::new("pm-1", 20, "php performer.php")
    }
}

#[test]
fn what_php_asks_of_a_manager_is_read_through_all_of_its_objects() {
    let task: ManagerTask = decode(Codec::Php, shared().as_bytes()).unwrap();
    assert!(task.original.is_some(), "a logger is kept");
    assert_eq!(ManagerTask { original: None, ..task.clone() }, full());
    assert_eq!(
        encode(Codec::Php, &task).escape_ascii().to_string(),
        shared().as_bytes().escape_ascii().to_string()
    );
}

#[test]
fn what_is_asked_in_php_is_written_in_the_order_of_its_classes() {
    let task = ManagerTask { endpoints: Endpoints::default(), ..full() };
    let load = load(&[
        p("pmLmSocketsParams", "N;"),
        p("pids", "N;"),
        p("memFreeUsagePercentageLimit", "i:30;"),
        p("memFreeUsagePercentageLimitPerProcess", "N;"),
        p("cpuUsagePercentageLimit", "i:80;"),
        p("cpuGapPercentage", "N;"),
        p("allowedPercentageToSubtractFromReserved", "i:10;"),
        p("idleZeroValueCheckSizeBeforeAttention", "i:200;"),
        p("pauseForbidden", "N;"),
        p("minMemFreeSize", "N;"),
        p("standardMemoryGap", "N;"),
    ]);
    let expected = |performers: &str| {
        gearman(&process(&[
            p("pmLmSocketsParams", "N;"),
            p("tasksNumber", "i:20;"),
            p("workerProcessCommand", &s("php performer.php")),
            p("loadManagerProcessCommand", "N;"),
            p("loadManagerDto", &load),
            p("performerSocketsParams", performers),
            p("maxSimultaneousProcesses", "i:3;"),
            p("interMessageInterval", "i:1000000;"),
        ]))
    };
    let written = |task: &ManagerTask| String::from_utf8(encode(Codec::Php, task)).unwrap();
    assert_eq!(written(&task), expected("N;"));
    let addresses = performers(["N;", "N;", "N;", &s("tcp://127.0.0.1:6268")]);
    assert_eq!(written(&full()), expected(&addresses));
    assert_eq!(
        decode(Codec::Php, written(&full()).as_bytes()),
        Ok(full()),
        "nothing is kept that is said anyway"
    );
}

#[test]
fn a_change_of_one_field_leaves_all_others_as_they_were() {
    let task: ManagerTask = decode(Codec::Php, shared().as_bytes()).unwrap();
    let changed = |change: fn(&mut ManagerTask)| {
        let mut task = task.clone();
        change(&mut task);
        String::from_utf8(encode(Codec::Php, &task)).unwrap()
    };
    let number = |n: u32| p("tasksNumber", &format!("i:{n};"));
    assert_eq!(changed(|task| task.tasks_number = 7), shared().replace(&number(20), &number(7)));
    assert_eq!(changed(|task| task.cpu_percent = 55), shared().replace("i:80;", "i:55;"));
    assert_eq!(changed(|task| task.task_id = Some(7.into())), shared().replace(&s("pm-1"), "i:7;"));
    assert_eq!(changed(|task| task.most_at_once = None), shared().replace("i:3;", "N;"));
    assert_eq!(
        changed(|task| task.command = Some("rev".into())),
        shared().replace(&s("php performer.php"), &s("rev"))
    );
    assert_eq!(
        changed(|task| task.endpoints.push_pulsar = Some("tcp://h:1".to_owned())),
        shared().replace(&p("pushPulsarSocketAddress", "N;"), &p("pushPulsarSocketAddress", &s("tcp://h:1")))
    );
}

#[test]
fn references_keep_their_meaning_when_objects_are_added_before_them() {
    // The one address is also in a list behind everything, and so is the list itself.
    let before = |performers: &str, address: u64, list: u64| {
        gearman(&process(&[
            p("performerSocketsParams", performers),
            p("pmLmSocketsParams", &object("A", &[p("pmLmRequestAddress", &s("x"))])),
            p("list", &format!("a:3:{{i:0;r:{address};i:1;N;i:2;R:{list};}}")),
        ]))
    };
    let task: ManagerTask = decode(Codec::Php, before("N;", 5, 7).as_bytes()).unwrap();
    assert_eq!(encode(Codec::Php, &task), before("N;", 5, 7).into_bytes());
    let endpoints = Endpoints { push_pulsar: Some("tcp://h:1".to_owned()), ..Endpoints::default() };
    let written = encode(Codec::Php, &ManagerTask { endpoints, ..task });
    // Null was one value, the object is five.
    let object = performers(["N;", "N;", &s("tcp://h:1"), "N;"]);
    assert_eq!(String::from_utf8(written).unwrap(), before(&object, 9, 11));
}

#[test]
fn properties_and_objects_that_are_missing_are_defaults_and_come_when_they_are_set() {
    for bytes in [
        gearman("N;"),
        object("Gearman\\Conveyor\\Inventory\\GearmanDto", &[p("taskId", &s("pm-1"))]),
        gearman(&process(&[])),
        gearman(&process(&[p("loadManagerDto", &load(&[]))])),
    ] {
        let task: ManagerTask = decode(Codec::Php, bytes.as_bytes()).unwrap();
        let (manager_type, original) = (task.manager_type.clone(), task.original.clone());
        let nothing =
            ManagerTask { manager_type, task_id: Some("pm-1".into()), original, ..ManagerTask::default() };
        assert_eq!(task, nothing);
        assert_eq!(encode(Codec::Php, &task), bytes.as_bytes());
        let all = ManagerTask { original: task.original, ..full() };
        let again: ManagerTask = decode(Codec::Php, &encode(Codec::Php, &all)).unwrap();
        assert_eq!(ManagerTask { original: None, ..again }, full());
    }
}

#[test]
fn a_kind_of_manager_that_nobody_knows_is_kept() {
    let bytes = gearman("N;").replace(&s("REACT_PROCESS_MANAGER"), &s("AMP"));
    let task: ManagerTask = decode(Codec::Php, bytes.as_bytes()).unwrap();
    assert_eq!(task.manager_type.as_deref(), Some("AMP"));
}

#[test]
fn what_is_wrong_is_named() {
    for (bytes, said) in [
        ("b:0;".to_owned(), "a GearmanDto is expected"),
        (object("A", &[]), "an object of class A does not belong here"),
        (gearman("i:1;"), "the field processManagerDto cannot have this value"),
        (gearman(&object("A", &[])), "the field processManagerDto cannot have an object of class A"),
        (
            gearman(&process(&[p("loadManagerDto", &process(&[]))])),
            "the field loadManagerDto cannot have an object",
        ),
        (gearman(&process(&[p("tasksNumber", &s("20"))])), "the field tasksNumber"),
        (gearman(&process(&[p("tasksNumber", "i:-1;")])), "the field tasksNumber"),
        (gearman(&process(&[p("workerProcessCommand", "i:1;")])), "the field workerProcessCommand"),
        (gearman(&process(&[p("performerSocketsParams", "a:0:{}")])), "the field performerSocketsParams"),
        (
            gearman(&process(&[p("performerSocketsParams", &performers(["N;", "N;", "i:6274;", "N;"]))])),
            "the field pushPulsarSocketAddress",
        ),
        (gearman("N;").replace(&s("pm-1"), "d:1.5;"), "the field taskId"),
        (gearman("N;").replace(&s("pm-1"), "r:1;"), "the field taskId"),
    ] {
        let error = decode::<ManagerTask>(Codec::Php, bytes.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_value_that_another_one_refers_to_is_not_changed_behind_its_back() {
    let bytes = gearman(&process(&[p("tasksNumber", "i:20;"), p("maxSimultaneousProcesses", "R:4;")]));
    let task: ManagerTask = decode(Codec::Php, bytes.as_bytes()).unwrap();
    assert_eq!((task.tasks_number, task.most_at_once), (20, Some(20)));
    let more = ManagerTask { tasks_number: 21, ..task.clone() };
    let error = Codec::Php.encode(&more, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("a value that another one refers to"), "{error}");
    let fewer = ManagerTask { most_at_once: Some(2), ..task };
    assert_eq!(encode(Codec::Php, &fewer), bytes.replace("R:4;", "i:2;").into_bytes());
}

#[test]
fn raw_bytes_are_no_task_of_a_manager() {
    let error = Codec::Raw.encode(&full(), &Limits::default()).unwrap_err();
    assert_eq!(decode::<ManagerTask>(Codec::Raw, b"x"), Err(error.clone()));
    assert!(error.to_string().contains("json, bincode and php carry"), "{error}");
}

#[test]
fn json_is_a_plain_object_in_which_most_can_be_left_out() {
    let json = br#"{"manager_type":"REACT_PROCESS_MANAGER","task_id":"pm-1","tasks_number":20,"command":"php performer.php","most_at_once":3,"memory_percent":30,"cpu_percent":80,"endpoints":{"request_pulsar":null,"publisher_pulsar":null,"push_pulsar":null,"publisher_pm":"tcp://127.0.0.1:6268"}}"#;
    assert_eq!(encode(Codec::Json, &full()), json);
    let short = br#"{"task_id":7,"tasks_number":2,"command":"rev","endpoints":{"push_pulsar":"tcp://h:1"}}"#;
    let task: ManagerTask = decode(Codec::Json, short).unwrap();
    let endpoints = Endpoints { push_pulsar: Some("tcp://h:1".to_owned()), ..Endpoints::default() };
    let expected = ManagerTask { manager_type: None, endpoints, ..ManagerTask::new(7, 2, "rev") };
    assert_eq!(task, expected);
    let error = decode::<ManagerTask>(Codec::Json, br#"{"task_number":7}"#).unwrap_err();
    assert!(matches!(&error.problem, Problem::Format(said) if said.contains("unknown field")), "{error}");
}

#[test]
fn bincode_says_its_version() {
    let mut bytes = encode(Codec::Bincode, &full());
    bytes[0] = 9;
    assert_eq!(
        decode::<ManagerTask>(Codec::Bincode, &bytes).unwrap_err().problem,
        Problem::UnknownVersion(9)
    );
}

#[test]
fn an_original_that_is_something_else_is_refused() {
    let task = ManagerTask { original: Some(Value::Null), ..full() };
    assert!(Codec::Php.encode(&task, &Limits::default()).is_err());
}

fn manager() -> impl Strategy<Value = ManagerTask> {
    let address = || option::of("\\PC{0,10}");
    let endpoints = (address(), address(), address(), address());
    let text = (option::of("\\PC{0,10}"), option::of(id()), option::of(some_bytes()));
    let numbers = (any::<u32>(), option::of(any::<u32>()), any::<u32>(), any::<u32>());
    (text, numbers, endpoints, 0..3_u8).prop_map(|(text, numbers, endpoints, original)| ManagerTask {
        manager_type: text.0,
        task_id: text.1,
        command: text.2,
        tasks_number: numbers.0,
        most_at_once: numbers.1,
        memory_percent: numbers.2,
        cpu_percent: numbers.3,
        endpoints: Endpoints {
            request_pulsar: endpoints.0,
            publisher_pulsar: endpoints.1,
            push_pulsar: endpoints.2,
            publisher_pm: endpoints.3,
        },
        original: match original {
            0 => None,
            1 => decode::<ManagerTask>(Codec::Php, &recorded("GearmanDto")).unwrap().original,
            _ => decode::<ManagerTask>(Codec::Php, shared().as_bytes()).unwrap().original,
        },
    })
}

proptest! {
    #[test]
    fn tasks_of_managers_are_read_back_equal(task in manager()) {
        for codec in [Codec::Json, Codec::Bincode] {
            prop_assert_eq!(decode(codec, &encode(codec, &task)), Ok(task.clone()), "{}", codec);
        }
        let bytes = encode(Codec::Php, &task);
        let again: ManagerTask = decode(Codec::Php, &bytes).unwrap();
        prop_assert_eq!(encode(Codec::Php, &again), bytes);
        let known = ManagerTask { original: again.original.clone(), ..task };
        prop_assert_eq!(again, known);
    }
}
