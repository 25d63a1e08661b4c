//! Who is told of what, and what is wrong with a configuration.

use crate::Setup;

/// A mail and a log sink, and how many of each a run like `outcome` leads to.
fn told(attention: &str, on: &str, outcome: &str) -> (usize, usize) {
    let setup = Setup::new();
    // A line a mail, and the mail itself.
    let sendmail = setup
        .script("sendmail", "cat > \"$(dirname \"$0\")/mail\"; echo \"$@\" >> \"$(dirname \"$0\")/mails\"");
    let config = format!(
        "{attention}\n[[client.nightly.notify]]\nsink = 'mail'\n{on}\nto = ['ops@example.org']\nfrom = 'conveyor@host'\n\
         via = 'sendmail:{sendmail}'\n[[client.nightly.notify]]\nsink = 'log'\n{on}\nfile = '{}'\n",
        setup.file("log")
    );
    setup.tell(&config, &["--as", outcome]).delivered();
    let mails = setup.text("mails");
    assert!(mails.lines().all(|line| line == "-i -f conveyor@host -- ops@example.org"), "{mails}");
    if !mails.is_empty() {
        assert!(setup.text("mail").contains("Subject: conveyor: nightly "), "{}", setup.text("mail"));
    }
    let logged =
        setup.text("log").lines().filter(|line| line.contains(" nightly run test: conveyor: ")).count();
    (mails.lines().count(), logged)
}

#[test]
fn concept_12_attention_by_mail_log_or_both_leads_to_one_none_or_one_mail() {
    for (attention, mails_and_logs) in [
        ("attention = 'MAIL'", (1, 0)),
        ("attention = 'LOG'", (0, 1)),
        ("attention = 'BOTH'", (1, 1)),
        ("attention = 'both'", (1, 1)),
        ("", (1, 1)),
    ] {
        assert_eq!(told(attention, "", "failure"), mails_and_logs, "{attention}");
        assert_eq!(told(attention, "", "success"), (0, 0), "{attention}: success is told nobody by default");
    }
}

#[test]
fn concept_12_a_notice_of_success_is_sent_to_those_who_want_it() {
    for (on, of_failure, of_success) in
        [("on = 'failure'", 1, 0), ("on = 'success'", 0, 1), ("on = 'always'", 1, 1)]
    {
        assert_eq!(told("", on, "failure"), (of_failure, of_failure), "{on}");
        assert_eq!(told("", on, "success"), (of_success, of_success), "{on}");
    }
}

#[test]
fn without_an_outcome_every_sink_is_tried() {
    let setup = Setup::new();
    let entry = |on: &str, file: &str| {
        format!("[[client.nightly.notify]]\nsink = 'log'\non = '{on}'\nfile = '{}'\n", setup.file(file))
    };
    let told = setup.tell(&(entry("failure", "a") + &entry("success", "b")), &[]);
    told.delivered();
    assert_eq!(told.out.lines().count(), 2, "{told:?}");
    assert!(!setup.text("a").is_empty() && !setup.text("b").is_empty());
    let told = setup.tell(&entry("failure", "c"), &["--as", "success"]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), "nobody is to be told\n"));
}

#[test]
fn a_log_is_appended_to_or_goes_to_standard_error() {
    let setup = Setup::new();
    let config = format!("[[client.nightly.notify]]\nsink = 'log'\nfile = '{}'\n", setup.file("log"));
    setup.tell(&config, &[]).delivered();
    setup.tell(&config, &[]).delivered();
    let log = setup.text("log");
    assert_eq!(log.matches("nightly run test: conveyor: nightly failed").count(), 2, "{log}");
    assert!(log.contains("\n    Nothing ran.\n"), "{log}");
    let told = setup.tell("[[client.nightly.notify]]\nsink = 'log'\n", &[]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), "log to standard error: delivered\n"));
    assert!(told.errors.contains("    Nothing ran.\n"), "{told:?}");
    let config = format!("[[client.nightly.notify]]\nsink = 'log'\nfile = '{}'\n", setup.file("no/log"));
    setup.tell(&config, &[]).failed("cannot write: No such file or directory");
}

#[test]
fn a_sink_that_nothing_can_end_is_left_behind_when_its_time_is_up() {
    let setup = Setup::new();
    // Opening a pipe waits for a reader, for ever.
    let made = std::process::Command::new("mkfifo").arg(setup.path("pipe")).status().unwrap();
    assert!(made.success());
    let entry = |file: &str| {
        format!("[[client.nightly.notify]]\nsink = 'log'\nfile = '{}'\ntimeout_s = 1\n", setup.file(file))
    };
    let told = setup.tell(&(entry("pipe") + &entry("log")), &[]);
    told.failed("not done within 1 s (timeout_s)");
    assert!(setup.text("log").contains("Nothing ran."), "{told:?}");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_what_is_right() {
    let setup = Setup::new();
    let mail = |more: &str| format!("sink = 'mail'\nto = ['a@b.c']\n{more}");
    let hook = |more: &str| format!("sink = 'webhook'\nurl = 'http://127.0.0.1/'\n{more}");
    for (entry, said) in [
        ("sink = 'sms'".to_owned(), "there is no value `sms` here: log, mail, webhook, command are"),
        ("file = 'x'".to_owned(), "missing field `sink`"),
        ("sink = 'log'\npath = 'x'".to_owned(), "there is no key `path` here: on, "),
        (
            "sink = 'log'\non = 'never'".to_owned(),
            "there is no value `never` here: failure, success, always are",
        ),
        ("sink = 'log'\ntimeout_s = 0".to_owned(), "notify entry 1: timeout_s must be 1 or more"),
        ("sink = 'mail'".to_owned(), "missing field `to`"),
        ("sink = 'mail'\nto = []".to_owned(), "to is empty"),
        ("sink = 'mail'\nto = ['nobody']".to_owned(), "to \"nobody\" is no mail address"),
        ("sink = 'mail'\nto = ['a@b.c\\r\\nBcc: d@e.f']".replace('\'', "\""), "is no mail address"),
        (mail("from = '@'"), "from \"@\" is no mail address"),
        (mail("via = 'pigeon'"), "write sendmail, sendmail:/PATH, smtp://HOST:PORT or smtps://HOST:PORT"),
        (mail("via = 'http://h'"), "via \"http://h\" is unknown"),
        (mail("via = 'smtp://h/path'"), "via \"smtp://h/path\" is unknown"),
        (mail("via = 'smtp://user:secret@h'"), "via holds a user"),
        (mail("via = 'sendmail'\nuser = 'u'"), "are for SMTP"),
        (mail("via = 'smtps://h'\nstarttls = true"), "leave starttls out"),
        (mail("via = 'smtps://h'\nuser = 'u'"), "user has no password"),
        (mail("via = 'smtps://h'\npassword_env = 'P'"), "a password without a user"),
        (mail("via = 'smtps://h'\nuser = 'u'\npassword_env = 'P'\npassword_file = 'f'"), "not both"),
        (mail("via = 'smtp://h'\nuser = 'u'\npassword_env = 'P'"), "for everybody to read"),
        (mail("password = 'secret'"), "there is no key `password`"),
        ("sink = 'webhook'\nurl = 'ftp://h/'".to_owned(), "url must begin with http://HOST or https://HOST"),
        ("sink = 'webhook'\nurl = '/hook'".to_owned(), "url must begin with http://HOST or https://HOST"),
        (hook("headers = { 'a b' = 'c' }"), "header \"a b\" cannot be sent"),
        (hook("headers = { a = \"b\\r\\nc: d\" }"), "header \"a\" cannot be sent"),
        ("sink = 'command'\ncommand = []".to_owned(), "command is empty"),
    ] {
        let told = setup.tell(&format!("[[client.nightly.notify]]\n{entry}\n"), &[]);
        told.refused(said);
        assert!(told.errors.contains("conveyor.toml") && !told.errors.contains("secret@"), "{told:?}");
    }
    let log = "[[client.nightly.notify]]\nsink = 'log'\n";
    setup.tell(&format!("attention = 'sms'\n{log}"), &[]).refused("write log, mail or both");
    setup.tell(&format!("attention = 'mail'\n{log}"), &[]).refused("no notify entry is one");
    setup.tell("", &[]).refused("there is no notify entry");
    setup.tell(&format!("servers = ['127.0.0.1']\n{log}"), &[]);
    setup.tell("[[client.other.notify]]\nsink = 'log'\n[", &[]).refused("conveyor.toml, line ");
}

#[test]
fn a_client_that_is_not_there_is_named_with_those_that_are() {
    let setup = Setup::new();
    std::fs::write(setup.path("conveyor.toml"), "[client.a]\n[client.b]\n").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_conveyor"));
    let output = crate::support::run(command.args([
        "config",
        "test-notify",
        "c",
        "--config",
        &setup.file("conveyor.toml"),
    ]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("has no table [client.c]"), "{said}");
}
