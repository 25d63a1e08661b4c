//! The two command lines over TLS, through a tunnel that wants certificates.

use crate::harness::on_both;
use crate::support::tunnel::{Certificates, NAME, Tunnel};
use crate::support::{Process, run};
use std::process::{Command, Output, Stdio};

fn conveyor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
    for variable in ["GEARMAND_CA_CERTIFICATE", "GEARMAND_CERTIFICATE", "GEARMAND_KEY"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn commands_talk_tls_by_options_and_by_the_environment() {
    on_both(|server| {
        let made = Certificates::new();
        let (ca, pair, pair_key) = (made.file("ca.pem"), made.file("pair.pem"), made.file("pair.key"));
        let (client, client_key) = (made.file("client.pem"), made.file("client.key"));
        let asks = format!("CAfile = {ca}\nverifyChain = yes");
        let by_ca = Tunnel::start(server.address, &made, "server", &asks);
        let asks = format!("CAfile = {pair}\nverifyPeer = yes");
        let by_pin = Tunnel::start(server.address, &made, "pair", &asks);
        let (by_ca, by_pin) = (by_ca.address.port().to_string(), by_pin.address.port().to_string());
        let pinned = ["-S", "--tls-pin", &pair, "--tls-cert", &pair, "--tls-key", &pair_key, "-p", &by_pin];
        let _worker = Process::spawn(
            conveyor(&["worker", "-f", "reverse"]).args(pinned).args(["--", "rev"]).stderr(Stdio::inherit()),
        );
        let submit = ["client", "submit", "-f", "reverse", "abc"];
        let done = run(conveyor(&submit).args(pinned));
        assert_eq!(done.stdout.trim_ascii_end(), b"cba", "{}", said(&done));
        let done = run(conveyor(&submit)
            .args(["--ssl", "--tls-name", NAME, "-p", &by_ca])
            .env("GEARMAND_CA_CERTIFICATE", &ca)
            .env("GEARMAND_CERTIFICATE", &client)
            .env("GEARMAND_KEY", &client_key));
        assert_eq!(done.stdout.trim_ascii_end(), b"cba", "{}", said(&done));
        let refused = run(conveyor(&submit).args(["-S", "--tls-ca", &ca, "--tls-name", NAME, "-p", &by_ca]));
        assert_eq!(refused.status.code(), Some(3));
        assert!(said(&refused).contains("give it one that it trusts"), "{}", said(&refused));
    });
}

#[test]
fn tls_without_anybody_to_trust_is_wrong_usage() {
    for command in [&["client", "submit", "-f", "x", "y"][..], &["worker", "-f", "x", "true"]] {
        let output = run(conveyor(&command[..command.len() - 1]).args(["-S", command[command.len() - 1]]));
        assert_eq!(output.status.code(), Some(2));
        assert!(
            said(&output).contains("--tls-ca FILE") && said(&output).contains("--tls-pin"),
            "{}",
            said(&output)
        );
        let output = run(conveyor(&command[..2]).args(["--tls-ca", "x", "-f", "x", "y"]));
        assert_eq!(output.status.code(), Some(2), "a forgotten -S is never plain text");
    }
}
