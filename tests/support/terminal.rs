//! A terminal for processes under test, and what it shows.

use super::PATIENCE;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

/// A terminal of 100 columns, and what was written to it.
pub(crate) struct Terminal {
    screen: vt100::Parser,
    written: Vec<u8>,
    chunks: Receiver<Vec<u8>>,
    end: File,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let end = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let (sender, chunks) = sync_channel(10_000);
        // It ends when nobody has the other end any more.
        std::thread::spawn(move || {
            let mut master = File::from(master);
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = master.read(&mut chunk) {
                if sender.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { screen: vt100::Parser::new(40, 100, 0), written: Vec::new(), chunks, end }
    }

    pub(crate) fn stdio(&self) -> Stdio {
        self.end.try_clone().unwrap().into()
    }

    /// Reads until the screen is as it should be.
    pub(crate) fn wait_until(&mut self, what: &str, shows: impl Fn(&str) -> bool) {
        // The view moves by itself, so that there is always something to read.
        let start = Instant::now();
        while !shows(&self.screen.screen().contents()) {
            assert!(start.elapsed() < PATIENCE, "{what}: {}", self.screen.screen().contents());
            let chunk = self.chunks.recv_timeout(PATIENCE);
            let chunk = chunk.unwrap_or_else(|_| panic!("{what}: {}", self.screen.screen().contents()));
            self.screen.process(&chunk);
            self.written.extend(chunk);
        }
    }

    /// What the screen shows in the end, and all that was written.
    pub(crate) fn at_the_end(mut self) -> (String, String) {
        drop(self.end);
        while let Ok(chunk) = self.chunks.recv_timeout(PATIENCE) {
            self.screen.process(&chunk);
            self.written.extend(chunk);
        }
        (self.screen.screen().contents(), String::from_utf8_lossy(&self.written).into_owned())
    }
}
