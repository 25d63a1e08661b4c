//! Webhooks: what arrives, what is tried again, and what is said when nothing arrives.

use crate::fake::http;
use crate::support::free_port;
use crate::support::tunnel::{Certificates, Tunnel};
use crate::{SOON, Setup};
use std::net::SocketAddr;

fn entry(url: &str, more: &str) -> String {
    format!("[[client.nightly.notify]]\nsink = 'webhook'\nurl = '{url}'\nretry_delay_ms = 1\n{more}\n")
}

fn at(address: SocketAddr, more: &str) -> String {
    entry(&format!("http://{address}/services/token"), more)
}

#[test]
fn the_report_is_posted_as_json_with_the_headers_of_the_configuration() {
    let (setup, server) = (Setup::new(), http(&["204 No Content"]));
    let told =
        setup.tell(&at(server.address, "headers = { Authorization = 'Bearer abc', X-Team = 'night' }"), &[]);
    told.delivered();
    assert_eq!(told.out, "webhook at http://127.0.0.1: delivered\n", "neither path nor headers are shown");
    let got = server.got();
    assert_eq!(got.len(), 1);
    let (head, body) = (got[0].0.to_ascii_lowercase(), &got[0].1);
    for line in [
        "post /services/token http/1.1",
        "authorization: bearer abc",
        "x-team: night",
        "content-type: application/json",
    ] {
        assert!(head.lines().any(|other| other == line), "{line} in {head}");
    }
    assert!(head.contains("\nuser-agent: conveyor/"), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json["outcome"], "failed");
}

#[test]
fn a_server_in_trouble_is_asked_again_and_one_that_refuses_is_not() {
    for (answers, tries, why) in [
        (&["500 Oops", "503 Busy", "200 OK"][..], 3, None),
        (&["429 Slow Down", "200 OK"], 2, None),
        (&["502 Bad Gateway"], 4, Some("502 Bad Gateway (4 tries)")),
        (&["404 Not Found"], 1, Some("404 Not Found")),
        (&["302 Found"], 1, Some("set url to where it leads")),
    ] {
        let (setup, server) = (Setup::new(), http(answers));
        let told = setup.tell(&at(server.address, ""), &[]);
        why.map_or_else(|| told.delivered(), |why| told.failed(why));
        assert_eq!(server.got().len(), tries, "{answers:?}: {told:?}");
    }
    let (setup, server) = (Setup::new(), http(&["500 Oops"]));
    setup.tell(&at(server.address, "retries = 0"), &[]).failed("500");
    assert_eq!(server.got().len(), 1);
}

#[test]
fn a_pause_that_the_time_does_not_allow_is_not_begun() {
    let (setup, server) = (Setup::new(), http(&["500 Oops"]));
    let config = at(server.address, "").replace("retry_delay_ms = 1", "retry_delay_ms = 600000");
    let told = setup.tell(&config, &[]);
    told.failed("500");
    assert!(told.took < SOON && server.got().len() == 1, "{told:?}");
}

#[test]
fn a_server_that_hangs_or_is_not_there_keeps_no_other_sink_from_its_work() {
    let (setup, hanging) = (Setup::new(), http(&[]));
    let log = format!("[[client.nightly.notify]]\nsink = 'log'\nfile = '{}'\n", setup.file("log"));
    let told = setup.tell(&(at(hanging.address, "timeout_s = 1") + &log), &[]);
    told.failed("time");
    assert!(setup.text("log").contains("Nothing ran."), "{told:?}");
    let told = setup.tell(&entry(&format!("http://127.0.0.1:{}/token", free_port()), ""), &[]);
    told.failed("Connection refused");
    assert!(told.out.contains("(4 tries)") && !told.out.contains("token"), "{told:?}");
}

#[test]
fn webhooks_go_through_tls_to_servers_that_are_trusted() {
    let (setup, server, made) = (Setup::new(), http(&["200 OK"]), Certificates::new());
    let tls = Tunnel::start(server.address, &made, "here", "");
    let url = format!("https://{}/token", tls.address);
    setup.tell(&entry(&url, &format!("ca = '{}'", made.file("ca.pem"))), &[]).delivered();
    assert_eq!(server.got().len(), 1);
    setup
        .tell(&entry(&url, &format!("ca = '{}'\nretries = 0", made.file("other.pem"))), &[])
        .failed("certificate");
    // The system's list, which SSL_CERT_FILE names to programs that know OpenSSL's variables.
    let system = [("SSL_CERT_FILE", made.file("ca.pem"))];
    let system: Vec<(&str, &str)> = system.iter().map(|(name, value)| (*name, value.as_str())).collect();
    setup.tell_with(&entry(&url, ""), &[], &system).delivered();
    setup.tell(&entry(&url, "ca = '/no/such'"), &[]).failed("cannot read certificates from /no/such");
    assert_eq!(server.got().len(), 2);
}
