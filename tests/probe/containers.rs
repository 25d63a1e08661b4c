//! Limits of containers and stalls, from made-up trees of files.

use crate::machine::Machine;
use conveyor_common::Millis;
use conveyor_worker::manager::load::{Pressure, Snapshot};
use conveyor_worker::probe::{Linux, Probe, ProbeError, Reading};
use proptest::prelude::*;

const V2: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

fn measure(probe: &mut Linux) -> Snapshot {
    probe.measure(Millis(0), &[], &[]).unwrap()
}

fn reading(value: f64, source: &str) -> Reading {
    Reading { value, source: source.to_owned() }
}

const GIB: u64 = 1 << 30;

/// `a` may have 4 GiB and `a/b` 1 GiB at most, and 2.5 and 3 processors.
fn nested() -> Machine {
    let machine = Machine::new();
    machine.write("/proc/self/mountinfo", V2);
    machine.write("/proc/self/cgroup", "0::/a/b\n");
    let limits = |max: &str, current: u64, inactive: u64, cpu: &str| {
        [
            ("memory.max", max.to_owned()),
            ("memory.high", "max\n".to_owned()),
            ("memory.current", format!("{current}\n")),
            ("memory.stat", format!("anon 5\nfile 99999999999\ninactive_file {inactive}\nactive_file 1\n")),
            ("cpu.max", cpu.to_owned()),
        ]
    };
    let of = |directory: &str, files: [(&str, String); 5]| {
        for (name, content) in files {
            machine.write(&format!("{directory}/{name}"), content);
        }
    };
    of("/sys/fs/cgroup/a", limits("4294967296\n", 3 * GIB + 600 * 1024, 0, "250000 100000\n"));
    of("/sys/fs/cgroup/a/b", limits("1073741824\n", 512 << 20, 256 << 20, "300000 100000\n"));
    machine
}

#[test]
fn concept_35_container_and_pressure_the_tightest_ancestor_counts() {
    let machine = nested();
    let mut probe = machine.probe();
    // 1 GiB, of which half is used, half of that by file pages nobody needs.
    assert_eq!(measure(&mut probe).free_kib, 786_432.0);
    let report = probe.report();
    let expected = [
        reading(786_432.0, "cgroup v2 /a/b: memory.max"),
        reading((1 << 20) as f64 - 600.0, "cgroup v2 /a: memory.max"),
        reading(8_388_608.0, "/proc/meminfo: MemAvailable"),
    ];
    assert_eq!(report.memory, expected);
    let expected = [
        reading(2.5, "cgroup v2 /a: cpu.max"),
        reading(3.0, "cgroup v2 /a/b: cpu.max"),
        reading(4.0, "/proc/self/status: Cpus_allowed_list"),
    ];
    assert_eq!(report.cores, expected);
    assert_eq!(probe.cores(), 2.5);
    // The outer group fills up: now it is the tightest.
    machine.write("/sys/fs/cgroup/a/memory.current", (4 * GIB - 4096).to_string());
    assert_eq!(measure(&mut probe).free_kib, 4.0);
    assert_eq!(probe.report().memory[0].source, "cgroup v2 /a: memory.max");
    // More than there may be is not less than nothing.
    machine.write("/sys/fs/cgroup/a/memory.current", (5 * GIB).to_string());
    assert_eq!(measure(&mut probe).free_kib, 0.0);
}

#[test]
fn concept_35_container_and_pressure_the_high_mark_and_the_machine_are_limits_too() {
    let machine = nested();
    machine.write("/sys/fs/cgroup/a/b/memory.high", "805306368\n");
    let mut probe = machine.probe();
    assert_eq!(measure(&mut probe).free_kib, 524_288.0);
    assert_eq!(probe.report().memory[0].source, "cgroup v2 /a/b: memory.high");
    machine.write("/proc/meminfo", "MemFree: 1 kB\nMemAvailable:  1000 kB\n");
    assert_eq!(measure(&mut probe).free_kib, 1000.0);
    assert_eq!(probe.report().memory[0].source, "/proc/meminfo: MemAvailable");
    machine.write("/proc/self/status", "Cpus_allowed_list:\t1\n");
    assert_eq!(probe.cores(), 1.0);
}

#[test]
fn concept_35_container_and_pressure_a_process_that_is_moved_has_other_limits() {
    let machine = nested();
    let mut probe = machine.probe();
    machine.write("/proc/self/cgroup", "0::/a\n");
    assert_eq!(measure(&mut probe).free_kib, (1 << 20) as f64 - 600.0);
    machine.write("/proc/self/cgroup", "0::/elsewhere/in/a/group/that/is/not/there\n");
    assert_eq!(measure(&mut probe).free_kib, 8_388_608.0);
}

#[test]
fn concept_35_container_and_pressure_hosts_with_both_versions() {
    let machine = Machine::new();
    machine.write("/proc/self/mountinfo", V1);
    machine.write("/proc/self/cgroup", "5:memory:/x/y\n4:cpu,cpuacct:/x\n1:name=systemd:/z\n0::/\n");
    let no_limit = "9223372036854771712\n";
    let of = |limit, usage, stat| {
        [("memory.limit_in_bytes", limit), ("memory.usage_in_bytes", usage), ("memory.stat", stat)]
    };
    machine.write_all(
        "/sys/fs/cgroup/memory/x/y",
        &of(no_limit, "1\n", "inactive_file 0\ntotal_inactive_file 0\n"),
    );
    let stat = "inactive_file 1024\ntotal_inactive_file 2048\n";
    machine.write_all("/sys/fs/cgroup/memory/x", &of("1048576\n", "1046528\n", stat));
    machine.write_all("/sys/fs/cgroup/memory", &of(no_limit, "7\n", ""));
    machine.write_all(
        "/sys/fs/cgroup/cpu,cpuacct/x",
        &[("cpu.cfs_quota_us", "50000\n"), ("cpu.cfs_period_us", "100000\n")],
    );
    machine.write_all(
        "/sys/fs/cgroup/cpu,cpuacct",
        &[("cpu.cfs_quota_us", "-1\n"), ("cpu.cfs_period_us", "100000\n")],
    );
    let mut probe = machine.probe();
    assert_eq!(measure(&mut probe).free_kib, 4.0);
    let report = probe.report();
    assert_eq!(report.memory[0], reading(4.0, "cgroup v1 /x: memory.limit_in_bytes"));
    assert_eq!(report.memory.len(), 2, "{report:?}");
    let expected = [
        reading(0.5, "cgroup v1 /x: cpu.cfs_quota_us"),
        reading(4.0, "/proc/self/status: Cpus_allowed_list"),
    ];
    assert_eq!(report.cores, expected);
}

#[test]
fn concept_35_container_and_pressure_a_container_that_sees_the_paths_of_its_host() {
    let machine = Machine::new();
    let mount = "35 31 0:32 /docker/0a1b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    machine.write("/proc/self/mountinfo", mount);
    machine.write("/proc/self/cgroup", "5:memory:/docker/0a1b\n");
    machine.write_all(
        "/sys/fs/cgroup/memory",
        &[("memory.limit_in_bytes", "409600"), ("memory.usage_in_bytes", "204800")],
    );
    let mut probe = machine.probe();
    assert_eq!(measure(&mut probe).free_kib, 200.0);
    assert_eq!(probe.report().memory[0].source, "cgroup v1 /: memory.limit_in_bytes");
}

#[test]
fn concept_35_container_and_pressure_without_any_it_falls_back_and_says_so() {
    let machine = Machine::new();
    let mut probe = machine.probe();
    let snapshot = measure(&mut probe);
    assert_eq!((snapshot.free_kib, snapshot.pressure), (8_388_608.0, None));
    let report = probe.report();
    assert_eq!(report.memory, [reading(8_388_608.0, "/proc/meminfo: MemAvailable")]);
    let notes = report.notes.join("\n");
    assert!(notes.contains("no cgroups"), "{notes}");
    assert!(notes.contains("no stalls for memory: /proc/pressure/memory: "), "{notes}");
    assert!(notes.contains("no stalls for cpu: /proc/pressure/cpu: "), "{notes}");
}

#[test]
fn concept_35_container_and_pressure_stalls_of_the_own_group_before_those_of_the_machine() {
    let machine = nested();
    let stalls = |some: f64, full: f64| {
        format!(
            "some avg10={some} avg60=9.00 avg300=9.00 total=1\nfull avg10={full} avg60=9.00 avg300=9.00 total=1\n"
        )
    };
    machine.write("/proc/pressure/memory", stalls(90.0, 1.25));
    machine.write("/proc/pressure/cpu", stalls(40.5, 90.0));
    let mut probe = machine.probe();
    let pressure = |memory_full, cpu_some| Some(Pressure { memory_full, cpu_some });
    assert_eq!(measure(&mut probe).pressure, pressure(1.25, 40.5));
    let source = &probe.report().memory_full.as_ref().unwrap().source;
    assert_eq!(source, "/proc/pressure/memory: full avg10");
    machine.write("/sys/fs/cgroup/a/b/memory.pressure", stalls(80.0, 30.0));
    assert_eq!(measure(&mut probe).pressure, pressure(30.0, 40.5));
    let source = &probe.report().memory_full.as_ref().unwrap().source;
    assert_eq!(source, "cgroup v2 /a/b: memory.pressure: full avg10");
    machine.write("/sys/fs/cgroup/a/b/cpu.pressure", stalls(3.0, 0.0));
    assert_eq!(measure(&mut probe).pressure, pressure(30.0, 3.0));
    assert!(probe.report().notes.is_empty(), "{:?}", probe.report().notes);
}

#[test]
fn concept_26_sensors_idle_time_is_that_between_two_measurements() {
    let machine = Machine::new();
    let mut probe = machine.probe();
    machine.write("/proc/stat", "cpu  300 0 0 100 0 0 0 0 0 0\n");
    assert_eq!(measure(&mut probe).idle_percent, 25.0);
    assert!(probe.report().idle.as_ref().unwrap().source.contains("since the machine started"));
    machine.write("/proc/stat", "cpu  310 0 0 180 10 0 0 0 0 0\n");
    assert_eq!(measure(&mut probe).idle_percent, 90.0);
    machine.write("/proc/stat", "cpu  410 0 0 180 10 0 0 0 0 0\n");
    assert_eq!(measure(&mut probe).idle_percent, 0.0);
}

#[test]
fn concept_26_sensors_a_machine_that_says_nothing_about_memory_cannot_be_measured() {
    let machine = Machine::new();
    machine.write("/proc/meminfo", "");
    assert!(matches!(machine.probe().measure(Millis(0), &[], &[]), Err(ProbeError::NoMemory)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn concept_35_container_and_pressure_garbage_is_no_panic_and_no_nonsense(
        garbage in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "[-0-9a-z:/ .]{0,40}".prop_map(String::into_bytes),
            "(0::|1:memory:|)(/a|/\\.\\.|)/{0,3}b?\n".prop_map(String::into_bytes),
            "[0-9]{1,25} [0-9]{0,25}\n".prop_map(String::into_bytes),
        ], 12),
    ) {
        let files = [
            "/proc/self/mountinfo", "/proc/self/cgroup", "/proc/self/status", "/proc/stat", "/proc/pressure/cpu",
            "/proc/7/stat", "/proc/7/smaps_rollup", "/sys/fs/cgroup/a/b/memory.max",
            "/sys/fs/cgroup/a/b/memory.current", "/sys/fs/cgroup/a/b/memory.stat", "/sys/fs/cgroup/a/b/cpu.max",
            "/sys/fs/cgroup/a/b/memory.pressure",
        ];
        let all: Vec<(&str, &Vec<u8>)> = files.into_iter().zip(&garbage).collect();
        // One at a time, then all of them.
        for some in all.chunks(1).chain([all.as_slice()]) {
            measures_no_nonsense(some);
        }
    }
}

fn measures_no_nonsense(files: &[(&str, &Vec<u8>)]) {
    let machine = nested();
    for (file, content) in files {
        machine.write(file, content);
    }
    let mut probe = machine.probe();
    for time in [0, 1000] {
        let snapshot = probe.measure(Millis(time), &[], &[7]).unwrap();
        assert!(snapshot.free_kib.is_finite() && snapshot.free_kib >= 0.0, "{snapshot:?}");
        assert!((0.0..=100.0).contains(&snapshot.idle_percent), "{snapshot:?}");
        assert!(probe.cores() > 0.0);
    }
}
