//! TLS in front of a server: stunnel, with certificates made by openssl.

use super::{Process, free_port, require, run, wait_for};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

/// The name in the certificate that is signed by a CA.
pub(crate) const NAME: &str = "jobs.test";

/// Certificates, `X.pem` with `X.key`: `ca`, `server` for [`NAME`], `here` for 127.0.0.1 and `client` signed by it,
/// `other` (another CA), and three that are self-signed and have no name but a CN: `pair` (marked as a CA, version 3),
/// `old` (version 1, an RSA key) and `stranger` (as `pair`).
#[derive(Debug)]
pub(crate) struct Certificates {
    directory: tempfile::TempDir,
}

const EC: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
const RSA: &[&str] = &["-newkey", "rsa:2048"];

impl Certificates {
    pub(crate) fn new() -> Self {
        require("openssl");
        let made = Self { directory: tempfile::tempdir().unwrap() };
        // No configuration of the machine adds extensions.
        std::fs::write(made.path("openssl.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
        let authority = ["-addext", "basicConstraints=critical,CA:TRUE"];
        for name in ["ca", "other", "pair", "stranger"] {
            made.make(name, EC, &authority);
        }
        made.make("old", RSA, &[]);
        let (ca, key, name) =
            (made.file("ca.pem"), made.file("ca.key"), format!("subjectAltName=DNS:{NAME}"));
        let signed = ["-CA", &ca, "-CAkey", &key, "-addext", "basicConstraints=CA:FALSE", "-addext"];
        made.make("server", EC, &[&signed[..], &[&name]].concat());
        made.make("client", EC, &[&signed[..], &["extendedKeyUsage=clientAuth"]].concat());
        made.make("here", EC, &[&signed[..], &["subjectAltName=IP:127.0.0.1"]].concat());
        made
    }

    fn make(&self, name: &str, key: &[&str], more: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "2", "-config", &self.file("openssl.cnf")]);
        command.args(["-subj", &format!("/CN={name}"), "-out", &self.file(&format!("{name}.pem"))]);
        command.args(["-keyout", &self.file(&format!("{name}.key"))]).args(key).args(more);
        let made = run(&mut command);
        assert!(made.status.success(), "{command:?}: {}", String::from_utf8_lossy(&made.stderr));
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    pub(crate) fn file(&self, file: &str) -> String {
        self.path(file).into_os_string().into_string().unwrap()
    }
}

/// stunnel on a free port, before a server.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Tunnel {
    /// Shows the certificate `shown`; `more` are lines of its configuration.
    pub(crate) fn start(to: SocketAddr, made: &Certificates, shown: &str, more: &str) -> Self {
        Self::start_at(free_port(), to, made, shown, more)
    }

    pub(crate) fn start_at(port: u16, to: SocketAddr, made: &Certificates, shown: &str, more: &str) -> Self {
        require("stunnel");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (certificate, key) = (made.file(&format!("{shown}.pem")), made.file(&format!("{shown}.key")));
        let lines = format!(
            "foreground = quiet\npid =\ndebug = err\n[gearman]\naccept = {address}\nconnect = {to}\n\
             cert = {certificate}\nkey = {key}\nTIMEOUTclose = 0\n{more}\n"
        );
        let configuration = made.file(&format!("stunnel-{port}.conf"));
        std::fs::write(&configuration, lines).unwrap();
        let process = Process::spawn(Command::new("stunnel").arg(&configuration));
        wait_for("the tunnel accepts", || TcpStream::connect(address).ok());
        Self { process, address }
    }
}
