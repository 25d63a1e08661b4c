use super::values::{Mode, Scope};
use super::*;

fn read(text: &str) -> Result<Config, String> {
    Config::read(Path::new("c.toml"), text)
}

#[test]
fn every_key_of_a_client_is_read() {
    let text = r#"
        [client.resize-all]
        servers = ["127.0.0.1:4730"]
        function = "resize"
        priority = "low"
        codec = "php"
        tasks = { file = "tasks.jsonl" }
        mode = "PARALLEL"
        scope = "cluster"
        in_flight = 10
        task_timeout = "10m"
        run_timeout = "2h"
        attempts = 3
        delay = "0s"
        factor = 2
        longest = "1h"
        jitter = 0.5
        retry = ["error", "timed-out"]
        endpoints = ["tcp://127.0.0.1:6267"]
        keep = 5
        attention = "log"
        notify = [{ sink = "log" }]
        [client.resize-all.manager]
        function = "managers"
        type = "REACT_PROCESS_MANAGER"
        command = "php worker.php"
        processes = 5
        memory = 50
        cpu = 100
        [schedule.nightly]
        cron = "0 3 * * *"
        run = "resize-all"
    "#;
    let table = Config::read(Path::new("etc/c.toml"), text).unwrap().client("resize-all").unwrap();
    assert_eq!(table.tasks, Some(Tasks::File("etc/tasks.jsonl".into())), "seen from the file");
    assert_eq!((table.mode, table.scope), (Some(Mode::Parallel), Some(Scope::Cluster)));
    assert_eq!((table.factor, table.attempts), (Some(2.0), Some(3)));
    assert_eq!(table.manager.unwrap().processes, Some(5));
    let given = ClientTable { attempts: Some(9), ..ClientTable::default() };
    let below = read("[client.a]\nattempts = 1\nin_flight = 7").unwrap().client("a").unwrap();
    let both = given.over(below);
    assert_eq!((both.attempts, both.in_flight), (Some(9), Some(7)));
}

#[test]
fn tasks_come_from_four_places() {
    let tasks = |text: &str| {
        let config = read(&format!("[client.a]\ntasks = {text}"));
        config.map(|config| config.client("a").unwrap().tasks.unwrap())
    };
    assert_eq!(tasks("\"-\""), Ok(Tasks::Stdin));
    assert_eq!(tasks("{ file = \"/x\" }"), Ok(Tasks::File("/x".into())));
    let command = Tasks::Command { shell: "seq 3".to_owned(), directory: PathBuf::new() };
    assert_eq!(tasks("{ command = \"seq 3\" }"), Ok(command));
    let given = serde_json::json!({ "id": 7, "body": { "w": [1, 2.5, true] } });
    assert_eq!(tasks("[{ id = 7, body = { w = [1, 2.5, true] } }]"), Ok(Tasks::Given(vec![given])));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_write() {
    for (text, expected) in [
        ("functoin = \"x\"", "c.toml, line 2: there is no key `functoin`: did you mean `function`?"),
        ("x = 1", "line 2: there is no key `x` here: servers, function"),
        ("function = 7", "line 2: invalid type: integer `7`, expected a string"),
        ("priority = \"high\"", "line 2: priority high is for manager tasks: write normal or low"),
        ("codec = \"xml\"", "line 2: no codec is called \"xml\": raw, json, bincode and php are"),
        (
            "mode = \"loose\"",
            "line 2: mode \"loose\" is unknown: consistent (one run at a time) and parallel are",
        ),
        ("scope = \"world\"", "line 2: scope \"world\" is unknown: host and cluster are"),
        ("in_flight = 0", "line 2: 0 cannot be: write 1 to 100000"),
        ("\nattempts = -1", "line 3: -1 cannot be: write 1 to 1000000"),
        ("delay = 30", "line 2: invalid type: integer `30`, expected a string"),
        ("delay = \"30\"", "line 2: '30' is no duration: write one such as 90s, 5m, 1h30m or 2d"),
        ("task_timeout = \"0s\"", "line 2: a limit of 0 leaves no time"),
        ("factor = 0.5", "line 2: a factor is 1 to 1000"),
        ("jitter = 2", "line 2: a jitter is 0 to 1"),
        ("retry = [\"critical\"]", "line 2: a task that is critical is never tried again: leave it out"),
        (
            "retry = [\"eror\"]",
            "line 2: outcome \"eror\" is unknown: error, failed, lost, timed-out, malformed are",
        ),
        ("tasks = \"tasks.jsonl\"", "line 2: write { file = \"FILE\" }, { command = "),
        ("tasks = { fil = \"x\" }", "line 2: there is no key `fil`: did you mean `file`?"),
        (
            "endpoints = \"fixed\"",
            "line 2: endpoints \"fixed\" are unknown: write \"dynamic\", or a list of addresses",
        ),
        (
            "endpoints = [\"6267\"]",
            "line 2: endpoint \"6267\" is no address: write tcp://HOST:PORT or ipc://PATH",
        ),
        ("endpoints = []", "line 2: fixed endpoints are 1 to 4 addresses"),
        ("servers = []", "line 2: the list is empty: name one, or leave it out"),
        ("manager = { comand = \"x\" }", "line 2: there is no key `comand`: did you mean `command`?"),
        ("manager = { memory = 101 }", "line 2: 101 cannot be: write 1 to 100"),
        ("[cleint.b]", "line 2: there is no key `cleint`: did you mean `client`?"),
        ("function = ", "line 2: "),
    ] {
        let error = read(&format!("[client.a]\n{text}")).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_client_that_is_not_there_may_be_one_that_is_called_alike() {
    let config = read("[client.nightly]").unwrap();
    assert_eq!(config.no_client("nigthly"), "c.toml has no table [client.nigthly]: did you mean nightly?");
    assert!(Config::default().no_client("nightly").contains("--function and --tasks"));
}

#[test]
fn a_client_may_be_completed_by_flags_and_one_that_is_scheduled_must_be_whole() {
    let half = "[client.a]\n[client.a.manager]\nfunction = \"m\"\n[client.b]\nattention = \"mail\"\n";
    assert!(read(half).unwrap().client("a").is_some());
    let scheduled = |name: &str| {
        let schedule = format!("{half}[schedule.s]\ncron = \"@daily\"\nrun = \"{name}\"\n");
        read(&schedule).unwrap_err()
    };
    assert!(
        scheduled("a").contains("schedule.s.run: [client.a]: its manager has no command"),
        "{}",
        scheduled("a")
    );
    assert!(scheduled("b").contains("schedule.s.run: [client.b]: attention asks"), "{}", scheduled("b"));
}
