//! Servers that the tool starts itself: one process a value, killed and reaped when dropped.

use super::ctx::Peer;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A started server has this long to answer its first packet.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Ports below the range that Linux hands to outgoing connections, so that none of ours is in the way.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// How to start a server: the template of `--spawn`.
pub(crate) struct Template {
    text: String,
    stderr: bool,
}

impl Template {
    /// Checks that the command has a place for the port and can be split into words.
    pub(crate) fn new(text: &str, stderr: bool) -> Result<Self, String> {
        if !text.contains("{port}") {
            return Err("the command of --spawn has no {port} in it".to_owned());
        }
        if split_words(text)?.is_empty() {
            return Err("the command of --spawn is empty".to_owned());
        }
        Ok(Self { text: text.to_owned(), stderr })
    }

    /// Whether rules that need options of the server can be run.
    pub(crate) fn takes_options(&self) -> bool {
        self.text.contains("{options}")
    }

    /// Starts a server and waits until it answers; a second and third port are tried if the first was taken.
    pub(crate) fn start(&self, options: &str) -> Result<Server, String> {
        let mut last = String::new();
        for _ in 0..3 {
            match self.start_once(options) {
                Ok(server) => return Ok(server),
                Err(message) => last = message,
            }
        }
        Err(last)
    }

    fn start_once(&self, options: &str) -> Result<Server, String> {
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let line = self.text.replace("{port}", &port.to_string()).replace("{options}", options);
        let words = split_words(&line)?;
        let (program, rest) = words.split_first().ok_or("the command of --spawn is empty")?;
        let stderr = if self.stderr { Stdio::inherit() } else { Stdio::null() };
        let child = Command::new(program)
            .args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        let mut server = Server { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        let started = Instant::now();
        loop {
            if let Some(status) = server.exited() {
                return Err(format!("`{line}` ended before it accepted a connection ({status})"));
            }
            if Peer::connect(server.address, Duration::from_secs(2)).and_then(|mut peer| peer.sync()).is_ok()
            {
                return Ok(server);
            }
            if started.elapsed() > START_LIMIT {
                return Err(format!("`{line}` did not answer on port {port}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A running server process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// How the process ended, if it did.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nothing listens on and that this process has not handed out before.
fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at a time start at different places.
    let start = u16::try_from(std::process::id().wrapping_mul(397) % u32::from(PORTS)).unwrap_or(0);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..1000 {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = FIRST_PORT + offset;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Splits a command as a shell would: blanks separate, single and double quotes and backslashes protect.
pub(crate) fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '\\') => {
                let next = characters.next().ok_or("the command of --spawn ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("the command of --spawn has a quote that is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split_words;

    #[test]
    fn words_are_split_as_a_shell_would() {
        assert_eq!(
            split_words("a  --b='c d' \"e\\\"f\" '' g\\ h").unwrap(),
            ["a", "--b=c d", "e\"f", "", "g h"]
        );
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert!(split_words("a 'b").is_err());
    }
}
