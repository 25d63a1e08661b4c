//! GearmanManager's ini files.

use conveyor_worker::manager::gearman_manager::{Config, directories};

const FOUND: [&str; 3] = ["fetch_url", "reverse_string", "Sum"];

/// With the numbers of the sample in GearmanManager's documentation.
const SAMPLE: &str = "
; ten for everything
[GearmanManager]
worker_dir = ./workers, ./classes
include = *
count = 10
dedicated_count = 1
max_worker_lifetime = 3600
auto_update = 1
timeout = 300 ; seconds
graceful_shutdown_wait_time = 60

[reverse_string]
count = 3

[Sum]
dedicated_count = 5
dedicated_only = 1

[fetch_url]
count = 15
timeout = 30
";

/// How the 21 come about, with `count` 10 for all and `dedicated_count` 1:
///
/// | | at least | with its dedicated ones | in all | beside the 10 |
/// |---|---|---|---|---|
/// | everything | | | | 10, without Sum, which is `dedicated_only` |
/// | reverse_string | max(3, 10) = 10 | 10 + 1 = 11 | 11 | 1 |
/// | fetch_url | max(15, 10) = 15 | 10 + 1 = 11 | 15 | 5 |
/// | Sum | | its `dedicated_count` | 5 | 5 |
#[test]
fn concept_44_gearman_manager_sample_gives_21_workers() {
    let config = Config::read(SAMPLE, &FOUND).unwrap();
    let crews: Vec<(&str, u32)> = config.crews.iter().map(|crew| (crew.name.as_str(), crew.count)).collect();
    assert_eq!(crews, [("all", 10), ("Sum", 5), ("fetch_url", 5), ("reverse_string", 1)]);
    assert_eq!(config.processes(), 21);
    assert_eq!(config.notes, Vec::<String>::new());
    let everything: Vec<(&str, Option<u32>)> =
        config.crews[0].functions.iter().map(|one| (one.name.as_str(), one.timeout_s)).collect();
    assert_eq!(everything, [("fetch_url", Some(30)), ("reverse_string", Some(300))]);
    assert_eq!(config.directories, ["./workers", "./classes"]);
    assert_eq!(directories(SAMPLE).unwrap(), config.directories);
    let groups = config.groups(|crew| vec!["php".to_owned(), crew.name.clone()]);
    assert_eq!(groups.iter().map(|group| group.least).sum::<u32>(), 21);
    let all = &groups[0];
    assert_eq!((all.grace_ms, all.lifetime_ms, all.splay_ms), (60_000, Some(3_600_000), 600_000));
    assert_eq!((all.most, all.command.join(" ").as_str()), (10, "php all"));
}

fn counts(text: &str) -> Vec<(String, u32)> {
    let config = Config::read(text, &FOUND).unwrap();
    config.crews.into_iter().map(|crew| (crew.name, crew.count)).collect()
}

#[test]
fn without_numbers_each_function_has_one_process() {
    for text in ["", "[GearmanManager]\n", "[GearmanManager]\ninclude=*\n"] {
        let one = |name: &str| (name.to_owned(), 1);
        assert_eq!(counts(text), [one("Sum"), one("fetch_url"), one("reverse_string")], "{text}");
    }
}

#[test]
fn the_rules_of_count_one_by_one() {
    for (text, wanted) in [
        // Nobody needs more than the two for everything.
        ("[GearmanManager]\ncount=2", vec![("all", 2)]),
        ("[GearmanManager]\ncount=2\n[Sum]\ncount=1", vec![("all", 2)]),
        ("[GearmanManager]\ncount=2\n[Sum]\ncount=3", vec![("all", 2), ("Sum", 1)]),
        ("[GearmanManager]\ncount=2\n[Sum]\ndedicated_count=4", vec![("all", 2), ("Sum", 4)]),
        ("[GearmanManager]\ninclude=Sum\n[Sum]\ndedicated_count=4", vec![("Sum", 4)]),
        ("[GearmanManager]\ninclude=Sum\ndedicated_count=2\n[Sum]\ncount=3", vec![("Sum", 3)]),
        ("[GearmanManager]\ninclude=Sum\ncount=3\n[Sum]\ndedicated_only=1", vec![("Sum", 1)]),
        ("[GearmanManager]\nexclude=Sum, fetch_url", vec![("reverse_string", 1)]),
    ] {
        let wanted: Vec<(String, u32)> =
            wanted.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        assert_eq!(counts(text), wanted, "{text}");
    }
}

#[test]
fn everything_else_is_read_and_what_is_unknown_is_noted() {
    let text = "colour=blue
[GearmanManager]
host = \"10.0.0.1:4730,10.0.0.2:4731\"
prefix=MyApp_
log_file=/var/log/gm.log
pid_file='/run/gm.pid'
user=www-data
max_worker_lifetime=0
worker_restart_splay=5
max_runs_per_worker=100
worker_initial_spawn_splay=250000
count=1
include=Sum,fetch_url,missing
shape=round
[Sum]
priority=5
size=3
[reverse_string]
count=2
";
    let config = Config::read(text, &FOUND).unwrap();
    assert_eq!(config.servers, ["10.0.0.1:4730", "10.0.0.2:4731"]);
    assert_eq!((config.prefix.as_str(), config.auto_update), ("MyApp_", false));
    assert_eq!(config.log_file.as_deref(), Some("/var/log/gm.log"));
    assert_eq!(config.pid_file.as_deref(), Some("/run/gm.pid"));
    assert_eq!(config.user.as_deref(), Some("www-data"));
    assert_eq!((config.lifetime_ms, config.splay_ms, config.most_jobs), (None, 5000, Some(100)));
    assert_eq!((config.start_every_ms, config.grace_ms), (250, 60_000));
    let order: Vec<&str> = config.crews[0].functions.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(order, ["Sum", "fetch_url"], "the higher priority is registered first");
    let notes = config.notes.join("\n");
    for word in ["colour", "shape", "size", "missing", "[reverse_string]"] {
        assert!(notes.contains(word), "{word} in {notes}");
    }
    assert_eq!(config.notes.len(), 5, "{notes}");
}

#[test]
fn what_makes_no_sense_is_an_error_that_names_it() {
    for (text, word) in [
        ("[GearmanManager]\ncount=many", "count = many"),
        ("[GearmanManager]\ncount=-1", "count = -1"),
        ("[GearmanManager]\ncount=1000000", "10000 processes at most"),
        ("[Sum]\npriority=6", "from -5 to 5"),
        ("[Sum]\ndedicated_only=perhaps", "1 or 0"),
        ("[GearmanManager\ncount=1", "line 1"),
    ] {
        let wrong = Config::read(text, &FOUND).unwrap_err().to_string();
        assert!(wrong.contains(word), "{text}: {wrong}");
    }
}

#[test]
fn nothing_to_start_is_noted() {
    let config = Config::read("[GearmanManager]\ncount=3", &[]).unwrap();
    assert_eq!((config.processes(), config.notes.len()), (0, 1));
}
