//! One turn of one connection: read, decode, apply, queue the replies.

use super::State;
use crate::core::{Effect, Event, Note, Reply};
use bytes::{Bytes, BytesMut};
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{
    Decoder, ErrorCode, Frame, FrameError, Magic, Packet, ParseError, Request, Response,
};
use conveyor_common::{ConnId, Millis};
use socket2::SockRef;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;

/// Bytes read in one system call, and the smallest step by which a half-read packet's buffer grows.
const READ_BYTES: usize = 64 * 1024;

/// A packet up to this many bytes gets its buffer at once; the buffer of a larger one grows with what arrived.
const TRUSTED_BYTES: usize = 1 << 20;

/// Packets of one connection in one turn, and bytes read for it: about 50 microseconds of work. Whoever has
/// more to say goes on when everybody else has had a turn, so that nobody keeps the others waiting.
const PACKETS_PER_TURN: usize = 128;
const BYTES_PER_TURN: usize = 256 * 1024;

/// Why a connection ends when its peer says goodbye.
pub(crate) const GOODBYE: &str = "closed by its peer";

/// What a connection remembers of its stream between turns.
#[derive(Debug)]
pub(crate) struct Feed {
    decoder: Decoder,
    /// What was read and not taken yet: the beginning of a frame whose rest has not arrived.
    partial: BytesMut,
    /// There may be whole frames in `partial`: the last turn ended before they were taken.
    unfinished: bool,
}

/// What a connection may still do in this turn.
struct Turn {
    packets: usize,
    bytes: usize,
}

impl Feed {
    pub(super) fn new(packet_limit: u64) -> Self {
        Self { decoder: Decoder::new(packet_limit), partial: BytesMut::new(), unfinished: false }
    }

    /// Keeps what is half-read without keeping the shared buffer it was read into.
    fn let_go(&mut self) {
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        } else if self.partial.len() < READ_BYTES {
            self.partial = BytesMut::from(&self.partial[..]);
        }
    }
}

/// Has the task polled again after everything that is ready now, sockets that became ready meanwhile included.
fn go_on_later(cx: &mut Context<'_>) -> Poll<&'static str> {
    let yielding = std::pin::pin!(tokio::task::yield_now());
    match yielding.poll(cx) {
        Poll::Pending => {}
        // It never is: then the plain way.
        Poll::Ready(()) => cx.waker().wake_by_ref(),
    }
    Poll::Pending
}

impl State {
    /// Flushes and reads as far as the socket allows. Ready with a reason when the connection is over.
    pub(super) fn poll_connection(
        &mut self,
        cx: &mut Context<'_>,
        conn: ConnId,
        reader: &mut OwnedReadHalf,
        feed: &mut Feed,
        rearmed: &Notify,
    ) -> Poll<&'static str> {
        let now = self.clock.now();
        let pause_bytes = self.limits.pause_bytes;
        let user_timeout = self.keepalive.user_timeout;
        let Some(link) = self.links.get_mut(conn) else { return Poll::Ready("forgotten") };
        match &link.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => link.waker = Some(cx.waker().clone()),
        }
        while link.blocked && link.writer.as_ref().poll_write_ready(cx).is_ready() {
            link.send(now, user_timeout);
            if link.closing.is_some() {
                break;
            }
        }
        let mut turn = Turn { packets: PACKETS_PER_TURN, bytes: BYTES_PER_TURN };
        loop {
            let Some(link) = self.links.get_mut(conn) else { return Poll::Ready("forgotten") };
            if let Some(reason) = link.closing {
                // What was said before the fault is still delivered, once it is decided; `disconnect` takes care of
                // it.
                link.paused = link.outbox.owes();
                return if link.paused { Poll::Pending } else { Poll::Ready(reason) };
            }
            if link.deferred || link.outbox.owes_many() {
                link.paused = true;
                return Poll::Pending;
            }
            // A peer that does not read its answers is not asked for more questions.
            if link.blocked && link.outbox.len() > pause_bytes {
                return Poll::Pending;
            }
            if self.is_behind() {
                self.pause(conn);
                return Poll::Pending;
            }
            if turn.packets == 0 || turn.bytes == 0 {
                return go_on_later(cx);
            }
            if feed.unfinished {
                self.take_frames(conn, feed, &mut turn);
                self.settle(rearmed);
                continue;
            }
            match self.poll_read(cx, reader, feed) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => self.close(conn, GOODBYE),
                Poll::Ready(Ok(read)) => {
                    turn.bytes = turn.bytes.saturating_sub(read);
                    feed.unfinished = true;
                }
            }
        }
    }

    /// Reads once: into the shared buffer when nothing is half-read, else behind what there is.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut OwnedReadHalf,
        feed: &mut Feed,
    ) -> Poll<std::io::Result<usize>> {
        let shared = feed.partial.is_empty();
        let buffer = if shared { &mut self.scratch } else { &mut feed.partial };
        if shared {
            buffer.reserve(READ_BYTES);
        } else {
            let missing = feed.decoder.wanted().saturating_sub(buffer.len());
            buffer.reserve(missing.clamp(1, buffer.len().max(TRUSTED_BYTES)));
        }
        let read = std::pin::pin!(reader.read_buf(buffer)).poll(cx);
        if read.is_pending() && !shared {
            // All that has come was read and ends in the middle of a packet. libgearman's send buffer is smaller
            // than a loopback segment, so delayed acknowledgements would hold it to 64 KiB each 40 ms. A failure
            // costs only speed.
            let _ = SockRef::from(reader.as_ref()).set_tcp_quickack(true);
        }
        if shared && matches!(read, Poll::Ready(Ok(1..))) {
            feed.partial = self.scratch.split();
        }
        read
    }

    /// Applies complete frames, as many as the turn allows.
    fn take_frames(&mut self, conn: ConnId, feed: &mut Feed, turn: &mut Turn) {
        let now = self.clock.now();
        while turn.packets > 0 {
            turn.packets -= 1;
            match feed.decoder.decode(&mut feed.partial) {
                Ok(Some(frame)) => {
                    if let Err(reason) = self.take_frame(now, conn, frame) {
                        return self.close(conn, reason);
                    }
                    if self.links.get_mut(conn).is_none_or(|link| link.deferred || link.outbox.owes_many()) {
                        return;
                    }
                }
                Ok(None) => {
                    feed.unfinished = false;
                    return feed.let_go();
                }
                Err(error) => {
                    tracing::debug!(?conn, %error, "cannot follow the stream");
                    if let FrameError::PacketTooLarge { .. } = error {
                        self.refuse(conn, ErrorCode::ArgumentTooLarge, &error.to_string());
                    }
                    return self.close(conn, "its stream makes no sense");
                }
            }
        }
    }

    fn take_frame(&mut self, now: Millis, conn: ConnId, frame: Frame) -> Result<(), &'static str> {
        match frame {
            Frame::Packet(Packet { magic: Magic::Response, .. }) => {
                self.refuse(conn, ErrorCode::InvalidMagic, "Request magic expected");
            }
            Frame::Packet(packet) => match Request::from_packet(packet) {
                Ok(request) => self.apply(now, Event::Request { conn, request }),
                Err(ParseError::Unexpected(_)) => {
                    self.refuse(conn, ErrorCode::InvalidCommand, "Command not expected");
                }
                Err(error) => {
                    tracing::debug!(?conn, %error, "a packet makes no sense");
                    return Err("a packet makes no sense");
                }
            },
            Frame::Line(line) => match Command::parse(&line) {
                Ok(command) => self.apply(now, Event::Command { conn, command }),
                Err(error) => {
                    let reply = error.reply().ok_or("an admin line has too many words")?;
                    self.queue(conn, Reply::Text(Bytes::from(reply)));
                }
            },
        }
        Ok(())
    }

    fn refuse(&mut self, conn: ConnId, code: ErrorCode, text: &str) {
        if let Some(link) = self.links.touch(conn) {
            link.outbox.push_packet(&Response::Error { code: code.as_str(), text });
        }
    }

    fn queue(&mut self, conn: ConnId, reply: Reply) {
        let Some(link) = self.links.touch(conn) else { return };
        let before = link.outbox.len();
        link.outbox.push_reply(&self.prefix, reply);
        self.queued_since_check += link.outbox.len() - before;
    }

    fn fill(&mut self, conn: ConnId, ticket: u64, reply: Reply) {
        let Some(link) = self.links.touch(conn) else { return };
        let before = link.outbox.len();
        link.outbox.fill(&self.prefix, ticket, reply);
        link.resume();
        self.queued_since_check += link.outbox.len().saturating_sub(before);
    }

    /// Reads nothing more from a connection until the store has caught up.
    fn pause(&mut self, conn: ConnId) {
        self.some_paused = true;
        if let Some(link) = self.links.get_mut(conn) {
            link.paused = true;
        }
    }

    fn close(&mut self, conn: ConnId, reason: &'static str) {
        if let Some(link) = self.links.touch(conn) {
            link.closing.get_or_insert(reason);
        }
    }

    /// Does what the core wants done.
    pub(super) fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain() {
            match effect {
                Effect::Send { conn, reply } => self.queue(conn, reply),
                Effect::Append(change) => self.note_change(change),
                Effect::Hold { conn, ticket } => {
                    if let Some(link) = self.links.get_mut(conn) {
                        link.outbox.hold(ticket);
                    }
                }
                Effect::Fill { conn, ticket, reply } => self.fill(conn, ticket, reply),
                Effect::Fetch { number, priority } => self.fetch(number, priority),
                Effect::Find { number } => self.find(number),
                Effect::Pause { conn } => self.defer(conn),
                Effect::Resume { conn } => self.resume(conn),
                Effect::Close { conn, reason } => self.close(conn, reason),
                Effect::Note(note) => self.log(note),
            }
        }
        self.effects = effects;
    }

    fn log(&self, note: Note) {
        match note {
            Note::JobAccepted { function, unique } => {
                tracing::trace!(?function, ?unique, "accepted");
            }
            Note::JobDropped { job, unique } => {
                let handle = self.prefix.write(job);
                let handle = String::from_utf8_lossy(handle.as_bytes());
                tracing::warn!(%handle, ?unique, "dropped job: lost with its worker too often");
            }
            Note::PayloadLost { job } => {
                let handle = self.prefix.write(job);
                let handle = String::from_utf8_lossy(handle.as_bytes());
                tracing::error!(%handle, "the payload of a stored job cannot be read: it is tried again in a minute");
            }
            Note::JobTimedOut { job, conn } => {
                let handle = self.prefix.write(job);
                let handle = String::from_utf8_lossy(handle.as_bytes());
                tracing::warn!(%handle, ?conn, "job ran longer than its worker allows: requeued");
            }
        }
    }
}
