//! Who is told how a run went: mails, webhooks, commands and logs, tried with `conveyor config test-notify` on fake
//! servers and programs, slow, broken and hanging ones too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where"
)]

mod attention;
mod fake;
mod mail;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod webhook;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than any limit in these tests, and far shorter than the default of sinks.
const SOON: Duration = Duration::from_secs(15);

/// A directory with a configuration.
struct Setup {
    directory: tempfile::TempDir,
}

/// What the command said and how it ended.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    errors: String,
    took: Duration,
}

impl Setup {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The path of `name`, to stand in a configuration.
    fn file(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    /// What is in the file, nothing when there is none.
    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A program of the shell; `$1` and so on are its arguments.
    fn script(&self, name: &str, lines: &str) -> String {
        std::fs::write(self.path(name), format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
        self.file(name)
    }

    /// Tells the sinks of the client `nightly`, whose table `config` is; `more` are further arguments.
    fn tell(&self, config: &str, more: &[&str]) -> Told {
        self.tell_with(config, more, &[])
    }

    fn tell_with(&self, config: &str, more: &[&str], variables: &[(&str, &str)]) -> Told {
        std::fs::write(self.path("conveyor.toml"), format!("[client.nightly]\n{config}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_conveyor"));
        command
            .args(["config", "test-notify", "nightly", "--config", &self.file("conveyor.toml")])
            .args(more);
        // Proxies and logins of whoever runs the tests are none of their business.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(variables.iter().copied());
        let start = Instant::now();
        let output = support::run(&mut command);
        let took = start.elapsed();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Told { code: output.status.code(), out: text(&output.stdout), errors: text(&output.stderr), took }
    }
}

impl Told {
    /// All sinks have it.
    fn delivered(&self) {
        assert_eq!((self.code, self.errors.as_str()), (Some(0), ""), "{self:?}");
    }

    /// A sink has it not, and `why` is said.
    fn failed(&self, why: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(
            self.out.lines().any(|line| line.contains(": failed: ") && line.contains(why)),
            "{why}: {self:?}"
        );
        assert!(self.took < SOON, "{self:?}");
    }

    /// The configuration is wrong, and `why` is said.
    fn refused(&self, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{self:?}");
        assert!(self.errors.contains(why), "{why}: {self:?}");
    }
}
