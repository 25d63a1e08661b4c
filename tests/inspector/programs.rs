//! `sendmail` and commands: what they get, and what is said when they fail, hang or are not there.

use crate::Setup;
use crate::support::wait_for;

fn command(command: &[&str], more: &str) -> String {
    format!("[[client.nightly.notify]]\nsink = 'command'\ncommand = {command:?}\n{more}\n")
}

fn mail(via: &str, more: &str) -> String {
    format!("[[client.nightly.notify]]\nsink = 'mail'\nto = ['a@b.c']\nvia = 'sendmail:{via}'\n{more}\n")
}

#[test]
fn a_command_gets_the_report_as_json_and_the_outcome_in_its_environment() {
    for (outcome, went) in [("failure", "failed"), ("success", "ok")] {
        let setup = Setup::new();
        let script = setup.script(
            "hook",
            "cd \"$(dirname \"$0\")\"; cat > json; echo \"$CONVEYOR_RUN $CONVEYOR_NAME $CONVEYOR_OUTCOME $1\" > environment",
        );
        setup.tell(&command(&[&script, "two words"], "on = 'always'"), &["--as", outcome]).delivered();
        assert_eq!(setup.text("environment"), format!("test nightly {went} two words\n"));
        let json: serde_json::Value = serde_json::from_str(&setup.text("json")).unwrap();
        assert_eq!((&json["name"], &json["outcome"]), (&"nightly".into(), &went.into()));
    }
}

#[test]
fn a_program_that_fails_is_told_with_what_it_complained_of() {
    let setup = Setup::new();
    let failing = setup.script("failing", "echo no queue >&2; echo at all >&2; exit 75");
    let why = format!("{failing} ended with status 75: no queue; at all");
    setup.tell(&command(&[&failing], ""), &[]).failed(&why);
    setup.tell(&mail(&failing, ""), &[]).failed(&why);
    let killed = setup.script("killed", "kill -9 $$");
    setup.tell(&command(&[&killed], ""), &[]).failed("was killed by signal 9");
    let missing = setup.file("missing");
    setup.tell(&command(&[&missing], ""), &[]).failed("cannot start");
    setup.tell(&mail(&missing, ""), &[]).failed("cannot start");
}

#[test]
fn a_program_that_hangs_is_killed_with_all_it_started() {
    for sink in
        [|script: &str| command(&[script], "timeout_s = 1"), |script: &str| mail(script, "timeout_s = 1")]
    {
        let setup = Setup::new();
        let hanging = setup.script(
            "hanging",
            "cd \"$(dirname \"$0\")\"; echo still busy >&2; sleep 600 & echo $! > child; sleep 600",
        );
        let log = format!("[[client.nightly.notify]]\nsink = 'log'\nfile = '{}'\n", setup.file("log"));
        let told = setup.tell(&(sink(&hanging) + &log), &[]);
        told.failed("was killed: its time is up (timeout_s)");
        assert!(told.out.contains("still busy") && !setup.text("log").is_empty(), "{told:?}");
        let child = setup.text("child").trim().to_owned();
        let gone = || {
            // Dead, and perhaps not yet collected.
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        };
        wait_for("its child is gone", gone);
    }
}
