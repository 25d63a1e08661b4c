//! Mails by SMTP: what arrives, and what is said when nothing does.

use crate::Setup;
use crate::fake::{Smtp, smtp};
use crate::support::free_port;
use crate::support::tunnel::{Certificates, Tunnel};

fn entry(via: &str, more: &str) -> String {
    format!(
        "[[client.nightly.notify]]\nsink = 'mail'\nto = ['Ops <ops@example.org>', 'boss@example.org']\n\
         from = 'conveyor@host'\nvia = '{via}'\n{more}\n"
    )
}

fn has(lines: &[String], wanted: &str) {
    assert!(lines.iter().any(|line| line == wanted), "{wanted} in {lines:#?}");
}

#[test]
fn a_mail_arrives_by_smtp_with_its_report() {
    let (setup, server) = (Setup::new(), smtp(Smtp::Takes));
    let told = setup.tell(&entry(&format!("smtp://{}", server.address), ""), &[]);
    told.delivered();
    assert!(
        told.out.starts_with("mail to ops@example.org, boss@example.org via smtp://127.0.0.1:"),
        "{told:?}"
    );
    let got = server.got();
    assert_eq!(got.len(), 1);
    for line in [
        "RCPT TO:<ops@example.org>",
        "RCPT TO:<boss@example.org>",
        "Subject: conveyor: nightly failed: a test notice",
        "Content-Type: text/plain; charset=utf-8",
        "Nothing ran.",
        "QUIT",
    ] {
        has(&got[0], line);
    }
    assert!(got[0].iter().any(|line| line.starts_with("MAIL FROM:<conveyor@host>")));
    assert!(got[0].iter().any(|line| line.starts_with("Message-ID: <")));
    assert!(!got[0].iter().any(|line| line.starts_with("AUTH")), "nobody asked for a login");
}

#[test]
fn a_server_that_refuses_hangs_or_is_not_there_keeps_no_other_sink_from_its_work() {
    let (refusing, hanging, taking) = (smtp(Smtp::Refuses), smtp(Smtp::Hangs), smtp(Smtp::Takes));
    let nobody = free_port();
    for (via, why) in [
        (refusing.address.to_string(), "no such user here"),
        (hanging.address.to_string(), "the server did not answer in time (timeout_s)"),
        (format!("127.0.0.1:{nobody}"), "Connection refused"),
    ] {
        let setup = Setup::new();
        let log = format!("[[client.nightly.notify]]\nsink = 'log'\nfile = '{}'\n", setup.file("log"));
        let last = entry(&format!("smtp://{}", taking.address), "");
        let before = taking.got().len();
        let told = setup.tell(&(entry(&format!("smtp://{via}"), "timeout_s = 1") + &log + &last), &[]);
        told.failed(why);
        assert_eq!(told.out.lines().filter(|line| line.ends_with(": delivered")).count(), 2, "{told:?}");
        assert!(setup.text("log").contains("Nothing ran.") && taking.got().len() == before + 1, "{told:?}");
    }
}

#[test]
fn a_password_comes_from_a_file_or_a_variable_and_is_never_shown() {
    let (setup, server) = (Setup::new(), smtp(Smtp::Takes));
    std::fs::write(setup.path("password"), "secret\n").unwrap();
    let via = format!("smtp://{}", server.address);
    let file = format!("user = 'me'\npassword_file = '{}'", setup.file("password"));
    let from_file = setup.tell(&entry(&via, &file), &[]);
    from_file.delivered();
    let variable = "user = 'me'\npassword_env = 'MAIL_PASSWORD'";
    let from_variable = setup.tell_with(&entry(&via, variable), &[], &[("MAIL_PASSWORD", "secret")]);
    from_variable.delivered();
    // NUL me NUL secret, in base64
    for lines in server.got() {
        has(&lines, "AUTH PLAIN AG1lAHNlY3JldA==");
    }
    assert_eq!(server.got().len(), 2);
    let missing = setup.tell(&entry(&via, variable), &[]);
    missing.failed("the variable MAIL_PASSWORD (password_env) is not set");
    let gone = setup.tell(&entry(&via, "user = 'me'\npassword_file = '/no/such'"), &[]);
    gone.failed("cannot read the password from /no/such");
    for told in [from_file, from_variable, missing, gone] {
        assert!(!format!("{told:?}").contains("secret"), "{told:?}");
    }
}

#[test]
fn mails_go_through_tls_to_servers_that_are_trusted() {
    let (setup, server, made) = (Setup::new(), smtp(Smtp::Takes), Certificates::new());
    let starttls = Tunnel::start(server.address, &made, "here", "protocol = smtp");
    let tls = Tunnel::start(server.address, &made, "here", "");
    std::fs::write(setup.path("password"), "secret").unwrap();
    let login = format!("user = 'me'\npassword_file = '{}'\n", setup.file("password"));
    for (via, more) in [
        (format!("smtp://{}", starttls.address), "starttls = true\n"),
        (format!("smtps://{}", tls.address), ""),
    ] {
        let trusted = format!("{more}{login}ca = '{}'", made.file("ca.pem"));
        let before = server.got().len();
        setup.tell(&entry(&via, &trusted), &[]).delivered();
        let got = server.got();
        assert_eq!(got.len(), before + 1);
        has(&got[before], "Nothing ran.");
        has(&got[before], "AUTH PLAIN AG1lAHNlY3JldA==");
        let stranger = format!("{more}{login}ca = '{}'", made.file("other.pem"));
        setup.tell(&entry(&via, &stranger), &[]).failed("certificate");
        assert!(
            server.got().iter().skip(before + 1).flatten().all(|line| !line.starts_with("AUTH")),
            "{via}"
        );
    }
    // A server without STARTTLS gets no mail, and no password.
    let plain = format!("starttls = true\n{login}ca = '{}'", made.file("ca.pem"));
    let before = server.got().len();
    setup.tell(&entry(&format!("smtp://{}", server.address), &plain), &[]).failed("STARTTLS");
    assert!(server.got().iter().skip(before).flatten().all(|line| !line.starts_with("AUTH")));
    setup
        .tell(&entry("smtps://127.0.0.1:1", "ca = '/no/such'"), &[])
        .failed("cannot read certificates from /no/such");
}
