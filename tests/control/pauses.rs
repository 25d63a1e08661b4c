//! Concepts 16, 24 and 25 of the original: handshake, pause and continue with the progress kept, checkpoints.

use crate::rig::{Count, Rig, WORK_COMPLETE, WORK_EXCEPTION, command, on_both, outcome, performers, submit};
use crate::rust::counter;
use crate::support::require;
use conveyor_common::control::Order;
use conveyor_worker::supervise::Heard;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn concept_16_handshake_comes_before_any_job_and_tells_the_addresses() {
    on_both(|server| {
        let mut rig = Rig::start(&counter(server));
        let Heard::Hello(hello) = rig.hear() else { panic!("the hello comes first") };
        assert_eq!((hello.pid, hello.version), (rig.performer().pid(), 1));
        assert!(rig.obeyed(Order::Ping) < SECOND);
    });
    // The addresses, and a hello that a shell's child says.
    require("python3");
    let count = Count::new();
    let text = format!(
        "import sys\nsys.path.insert(0, {:?})\nimport conveyor_control\nc = conveyor_control.from_env('x')\n\
         while not c.hello: c._hear(None)\nc.note(c.hello['publisher_pm'] + ' ' + str(c.hello['slot']))\n",
        performers("python")
    );
    let program = count.program("hello.py", &text);
    let mut rig = Rig::start(&command(["sh", "-c", &format!("python3 {program}; true")]));
    let Heard::Hello(hello) = rig.hear() else { panic!("the hello comes first") };
    assert_eq!((hello.name.as_str(), hello.kind.as_str()), ("x", "python"));
    assert_ne!(hello.pid, rig.performer().pid());
    assert_eq!(rig.hear(), Heard::Note("tcp://127.0.0.1:1 7".to_owned()));
    assert!(matches!(rig.hear(), Heard::Closed(_)));
    assert!(rig.end().0.success());
}

#[test]
fn concept_24_pause_and_continue_keep_progress_and_the_deadline_of_our_worker() {
    on_both(|server| {
        let count = Count::new();
        let mut rig = Rig::start(&counter(server));
        server.wait_for_workers("count", 1);
        let mut client = server.connect();
        let handle = submit(&mut client, &format!("100 {}", count.file().display()));
        let named = String::from_utf8(handle.clone()).unwrap();
        rig.until(|heard| matches!(heard, Heard::JobStarted { handle, function } if *handle == named && function == "count"));
        count.wait_above(5);
        assert!(rig.obeyed(Order::Pause) < SECOND, "it stops within a second");
        let start = Instant::now();
        // The job may take 3 s.
        while start.elapsed() < Duration::from_millis(3200) {
            count.assert_still();
        }
        // Meanwhile jobs go to others, and when this worker goes on, it is its turn again.
        rig.obeyed(Order::Resume);
        let (kind, of, _) = outcome(&mut client);
        assert_eq!((kind, of), (WORK_COMPLETE, handle), "the pause does not count for its deadline");
        assert_eq!(count.value(), 100);
        let ended = rig.until(|heard| matches!(heard, Heard::JobEnded { .. }));
        assert!(matches!(ended, Heard::JobEnded { handle, ok: true, ms } if handle == named && ms > 3000));
    });
}

#[test]
fn concept_24_a_paused_worker_takes_no_jobs_and_others_get_them() {
    on_both(|server| {
        let (mut paused, count) = (Rig::start(&counter(server)), Count::new());
        server.wait_for_workers("count", 1);
        assert!(paused.obeyed(Order::Pause) < SECOND);
        crate::support::wait_for("its functions are taken back", || {
            server.status().iter().all(|row| row.3 == 0).then_some(())
        });
        let mut client = server.connect();
        submit(&mut client, &format!("3 {}", count.file().display()));
        count.assert_still();
        let mut other = Rig::start(&counter(server));
        assert_eq!(outcome(&mut client).0, WORK_COMPLETE);
        other.until(|heard| matches!(heard, Heard::JobEnded { ok: true, .. }));
        other.obeyed(Order::Terminate { shed: false });
        assert!(other.end().1.contains("ended: Terminated"));
        paused.obeyed(Order::Resume);
        server.wait_for_workers("count", 1);
        let count = Count::new();
        submit(&mut client, &format!("3 {}", count.file().display()));
        assert_eq!(outcome(&mut client).0, WORK_COMPLETE);
    });
}

#[test]
fn concept_24_terminate_works_while_paused() {
    on_both(|server| {
        let (mut rig, count) = (Rig::start(&counter(server)), Count::new());
        server.wait_for_workers("count", 1);
        let mut client = server.connect();
        client.send(crate::rig::OPTION_REQ, &[b"exceptions"]);
        assert_eq!(client.receive().0, crate::rig::OPTION_RES);
        let handle = submit(&mut client, &format!("1000 {}", count.file().display()));
        count.wait_above(3);
        rig.obeyed(Order::Pause);
        let value = count.assert_still();
        rig.obeyed(Order::Terminate { shed: true });
        let (kind, of, text) = outcome(&mut client);
        assert_eq!((kind, of), (WORK_EXCEPTION, handle));
        assert_eq!(String::from_utf8(text).unwrap(), format!("shed at {}", value + 1));
        assert!(rig.end().1.contains("ended: Terminated"));
    });
}

/// The same counter in other languages: a program that checks before every step.
fn counter_in(language: &str, count: &Count) -> conveyor_worker::performer::Command {
    let file = count.file();
    let file = file.to_str().unwrap();
    let (name, text) = match language {
        "php" => (
            "count.php",
            format!(
                "<?php require '{}';
                $control = Conveyor\\Control::fromEnv('counter');
                $control->jobStarted('H:x:1', 'count');
                try {{
                    for ($n = 1;; $n++) {{
                        $control->checkpoint();
                        file_put_contents('{file}', \"$n\\n\", FILE_APPEND);
                        usleep(10000);
                    }}
                }} catch (Conveyor\\Terminated $terminated) {{
                    $control->jobEnded('H:x:1', false);
                    exit(64 + (int) $terminated->shed);
                }}",
                performers("php/Control.php")
            ),
        ),
        "python3" => (
            "count.py",
            format!(
                "import sys, time
sys.path.insert(0, {:?})
import conveyor_control
control = conveyor_control.from_env('counter')
control.job_started('H:x:1', 'count')
n = 0
try:
    while True:
        control.checkpoint()
        n += 1
        with open({file:?}, 'a') as file:
            file.write('%d\\n' % n)
        time.sleep(0.01)
except conveyor_control.Terminated as terminated:
    control.job_ended('H:x:1', False)
    sys.exit(64 + terminated.shed)
",
                performers("python")
            ),
        ),
        _ => (
            "count.sh",
            format!(
                ". '{}'
control_begin || exit 1
control_job_started H:x:1 count
n=0
while control_checkpoint; do
  n=$((n + 1))
  echo $n >> '{file}'
  sleep 0.01
done
control_job_ended H:x:1 false 5
exit 65
",
                performers("sh/control.sh")
            ),
        ),
    };
    require(language);
    command([language, &count.program(name, &text)])
}

#[test]
fn concept_25_checkpoints_in_php_python_and_sh_react_to_all_three_orders() {
    for language in ["php", "python3", "dash"] {
        let count = Count::new();
        let mut rig = Rig::start(&counter_in(language, &count));
        let Heard::Hello(hello) = rig.hear() else { panic!("{language}: the hello comes first") };
        assert_eq!(hello.pid, rig.performer().pid(), "{language}");
        assert!(matches!(rig.hear(), Heard::JobStarted { .. }), "{language}");
        for _ in 0..3 {
            count.wait_above(count.value() + 3);
            assert!(rig.obeyed(Order::Pause) < SECOND, "{language}");
            count.assert_still();
            // Once more changes nothing.
            assert!(rig.obeyed(Order::Pause) < SECOND, "{language}");
            assert!(rig.obeyed(Order::Ping) < SECOND, "{language}");
            count.assert_still();
            assert!(rig.obeyed(Order::Resume) < SECOND, "{language}");
        }
        count.wait_above(count.value() + 3);
        rig.obeyed(Order::Pause);
        rig.obeyed(Order::Terminate { shed: true });
        let ended = rig.until(|heard| matches!(heard, Heard::JobEnded { .. }));
        assert!(matches!(ended, Heard::JobEnded { handle, ok: false, .. } if handle == "H:x:1"));
        assert_eq!(rig.end().0.code(), Some(65), "{language}");
    }
}

#[test]
fn concept_25_programs_end_with_their_manager_and_run_without_one() {
    for language in ["php", "python3", "dash"] {
        let count = Count::new();
        let command = counter_in(language, &count);
        let mut rig = Rig::start(&command);
        count.wait_above(3);
        rig.close();
        let code = if language == "dash" { 65 } else { 64 };
        assert_eq!(rig.end().0.code(), Some(code), "{language}");
        let alone = Count::new();
        let command = counter_in(language, &alone);
        let mut process = std::process::Command::new(&command.program);
        let process = crate::support::Process::spawn(process.args(&command.arguments));
        alone.wait_above(3);
        drop(process);
    }
}
