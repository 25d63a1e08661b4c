//! Servers for mail and for webhooks that do as they are told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A server in a thread that deals with one connection after the other; it ends when this is dropped.
pub(crate) struct Server<T> {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<T>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Clone + Send + 'static> Server<T> {
    fn start(mut serve: impl FnMut(&mut BufReader<TcpStream>) -> Option<T> + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (got, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (list, stopped) = (Arc::clone(&got), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(one) = serve(&mut BufReader::new(stream.unwrap())) {
                    list.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            }
        });
        Self { address, got, stop, thread: Some(thread) }
    }

    /// What came so far.
    pub(crate) fn got(&self) -> Vec<T> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> Drop for Server<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it; it may have ended, of a panic that `join` tells.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the fake server panicked");
    }
}

/// Reads a line without its end; none when the peer is gone.
fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// The peer may be gone: what came tells.
fn say(stream: &mut BufReader<TcpStream>, text: &str) {
    let _ = stream.get_mut().write_all(text.as_bytes());
}

/// Holds a connection without a word until the peer gives up.
fn hang(stream: &mut BufReader<TcpStream>) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// How a server for mail behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Smtp {
    Takes,
    Hangs,
    Refuses,
}

/// Gives all lines of every connection.
pub(crate) fn smtp(how: Smtp) -> Server<Vec<String>> {
    Server::start(move |stream| {
        if how == Smtp::Hangs {
            hang(stream);
            return None;
        }
        say(stream, "220 fake ESMTP\r\n");
        let mut lines = Vec::new();
        while let Some(said) = line(stream) {
            lines.push(said.clone());
            match said.split(' ').next().unwrap_or_default() {
                "EHLO" => say(stream, "250-fake\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n"),
                "AUTH" => say(stream, "235 welcome\r\n"),
                "RCPT" if how == Smtp::Refuses => say(stream, "550 no such user here\r\n"),
                "DATA" => {
                    say(stream, "354 go on\r\n");
                    while let Some(text) = line(stream) {
                        let end = text == ".";
                        lines.push(text);
                        if end {
                            break;
                        }
                    }
                    say(stream, "250 queued\r\n");
                }
                "QUIT" => {
                    say(stream, "221 bye\r\n");
                    break;
                }
                _ => say(stream, "250 fine\r\n"),
            }
        }
        // A look whether anybody listens sends nothing.
        (!lines.is_empty()).then_some(lines)
    })
}

/// Answers with these, the last one again and again, and gives the heads and bodies of requests.
pub(crate) fn http(answers: &'static [&'static str]) -> Server<(String, String)> {
    let mut answers = answers.iter();
    let mut last = None;
    Server::start(move |stream| {
        last = answers.next().or(last);
        let mut head = String::new();
        let mut length = 0;
        loop {
            let text = line(stream)?;
            if text.is_empty() {
                break;
            }
            if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            head += &text;
            head += "\n";
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        match last {
            Some(answer) => {
                say(stream, &format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
            }
            None => hang(stream),
        }
        Some((head, String::from_utf8(body).unwrap()))
    })
}
