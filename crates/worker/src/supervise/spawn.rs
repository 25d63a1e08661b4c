//! Starts a performer, listens to what it prints, waits for its end.

use super::identity::{Identity, Signal};
use crate::performer::Command;
use crate::performer::noise::Noise;
use bytes::Bytes;
use command_fds::{CommandFdExt, FdMapping};
use conveyor_common::control::FD_VARIABLE;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

/// The descriptor that carries the control channel in the performer.
const CONTROL_FD: i32 = 3;

/// Most bytes for standard input: what the smallest pipe holds.
const STDIN_BYTES: usize = 4096;

/// How long output of a performer that has ended may be on its way.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// What to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program; its `output` has no meaning here.
    pub command: &'a Command,
    /// The performer's end of a [channel](super::pair), named in `CONVEYOR_CONTROL_FD`.
    pub control: Option<OwnedFd>,
    /// Written to its standard input, at most 4096 bytes; it then stays open until the performer's end. Without
    /// it, standard input is empty.
    pub stdin: Option<Bytes>,
    /// How much of the end of what it prints is kept, in bytes.
    pub output_bytes: usize,
}

/// A performer that was started, with all that it starts. Dropping it kills them.
#[derive(Debug)]
pub struct Performer {
    /// None when it was waited for.
    child: Option<Child>,
    identity: Identity,
    /// Some child of this process has ended.
    children: tokio::signal::unix::Signal,
    noise: Noise,
    _stdin: Option<ChildStdin>,
}

impl Start<'_> {
    /// Starts it. What it prints is read from now on, and logged at debug.
    ///
    /// # Errors
    /// It cannot be started; in the system's words.
    pub fn start(self) -> io::Result<Performer> {
        let mut command = self.command.prepared();
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("LISTEN_PID").env_remove("LISTEN_FDS_FIRST_FD");
        if let Some(control) = self.control {
            // Rust takes inherited descriptors by the second name only.
            command.env(FD_VARIABLE, CONTROL_FD.to_string()).env("LISTEN_FDS", "1");
            let mapping = FdMapping { parent_fd: control, child_fd: CONTROL_FD };
            command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
        } else {
            command.env_remove("LISTEN_FDS");
        }
        let child = command.spawn()?;
        // The parent's copies of its descriptors go with the command: else the channel would never end.
        drop(command);
        Performer::of(child, self.stdin, self.output_bytes)
    }
}

impl Performer {
    fn of(mut child: Child, stdin: Option<Bytes>, output_bytes: usize) -> io::Result<Self> {
        let children = signal(SignalKind::child());
        let (identity, children) = match Identity::of(child.id()).and_then(|known| Ok((known, children?))) {
            Ok(both) => both,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let receiver = |pipe: OwnedFd| pipe::Receiver::from_owned_fd(pipe);
        let (stdout, stderr, to) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
        let none: Option<pipe::Receiver> = None;
        // From here on dropping it ends it.
        let mut performer = Self {
            child: Some(child),
            identity,
            children,
            noise: Noise::of_streams(0, none, None::<pipe::Receiver>, 0),
            _stdin: None,
        };
        let stdout = stdout.map(|pipe| receiver(pipe.into())).transpose()?;
        let stderr = stderr.map(|pipe| receiver(pipe.into())).transpose()?;
        performer.noise = Noise::of_streams(performer.pid(), stdout, stderr, output_bytes);
        if let (Some(mut to), Some(text)) = (to, stdin) {
            if text.len() > STDIN_BYTES {
                return Err(io::Error::other(format!("more than {STDIN_BYTES} bytes for standard input")));
            }
            // A new pipe holds it, so that nobody waits; and who has ended already need not read.
            let _ = to.write_all(&text);
            performer._stdin = Some(to);
        }
        Ok(performer)
    }

    /// Its number, which is that of its group, too.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.identity.pid()
    }

    /// Signals all of it, unless it has ended. Another process that has its number by now gets nothing.
    pub fn signal(&self, signal: Signal) {
        self.identity.signal(signal);
    }

    /// Waits for its end, and kills what it left behind in its group. Dropping the future loses nothing.
    ///
    /// # Errors
    /// It was waited for before, or the system has lost it.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        while self.identity.lives() && self.children.recv().await.is_some() {}
        self.identity.signal_leaderless(Signal::Kill);
        let mut child = self.child.take().ok_or_else(|| io::Error::other("it has ended before"))?;
        child.wait()
    }

    /// The end of what it printed, when it has ended.
    pub async fn last_words(self) -> Bytes {
        let mut this = self;
        let none: Option<pipe::Receiver> = None;
        let noise = std::mem::replace(&mut this.noise, Noise::of_streams(0, none, None::<pipe::Receiver>, 0));
        noise.last(LEFTOVERS).await
    }
}

impl Drop for Performer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.identity.signal_leaderless(Signal::Kill);
            // It goes at once, but not before this returns.
            std::thread::spawn(move || child.wait());
        }
    }
}
