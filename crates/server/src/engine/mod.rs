//! The engine: runs the core for the connections of one thread, and decides nothing.
//!
//! Every connection is one task of a `current_thread` runtime. A task that has read something applies it to the
//! core at once ([`step`]); replies go into outboxes, and one flusher task writes every touched outbox when all
//! tasks that had something to read have had their turn. No channel and no second task per connection lie
//! between a packet and its reply.
//!
//! State is borrowed for the length of one synchronous call and never across an `await`.

mod clock;
mod flush;
mod keep;
mod link;
mod outbox;
mod queue;
mod step;

use crate::config::{Keepalive, Limits};
use crate::core::{Core, Effects, Event, Peer, Rules};
use crate::error::Error;
use crate::store::{Flush, Opened};
use bytes::BytesMut;
use clock::Clock;
use conveyor_common::{ConnId, HandlePrefix, Millis};
use keep::Keep;
pub use keep::Readiness;
pub(crate) use link::Linger;
use link::Links;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};

/// How often connections that take nothing are looked at, and the wall clock.
const SWEEP_MS: u64 = 1000;

/// How far the wall clock may wander off before the core is told.
const WALL_DRIFT_MS: u64 = 100;

/// Shares the state of the server between the tasks of its thread.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    state: Rc<RefCell<State>>,
    rearmed: Rc<Notify>,
    limits: Limits,
}

/// Everything the tasks share.
#[derive(Debug)]
struct State {
    core: Core,
    effects: Effects,
    prefix: HandlePrefix,
    clock: Clock,
    wall_offset_ms: i64,
    limits: Limits,
    keepalive: Keepalive,
    links: Links,
    /// Where a connection reads to that has nothing half-read: idle connections need no buffer.
    scratch: BytesMut,
    flusher: Option<Waker>,
    /// When the ticker will tick.
    armed: Millis,
    /// Some socket may take nothing at the moment: idle connections are not looked at for nothing.
    some_blocked: bool,
    /// Some connection may wait for the store to catch up.
    some_paused: bool,
    keep: Option<Keep>,
    /// Bytes queued since all outboxes together were last measured.
    queued_since_check: usize,
}

impl Engine {
    /// Makes the state and starts the ticker and the flusher on the current task set.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        rules: Rules,
        limits: Limits,
        keepalive: Keepalive,
        store: Option<(Opened, Flush)>,
        readiness: watch::Sender<Readiness>,
    ) -> Result<Self, Error> {
        let clock = Clock::start();
        let room = rules.queue_bytes;
        let mut core = Core::new(rules.clone());
        let mut kept = None;
        if let Some((mut opened, flush)) = store {
            std::mem::take(&mut opened.head).into_iter().for_each(|change| core.restore(change));
            let unread = std::mem::take(&mut opened.unread);
            core.handle(clock.now(), Event::Loading { unread }, &mut Effects::default());
            readiness.send_replace(Readiness::Loading(0));
            kept = Some(Keep::start(opened, flush, room, readiness)?);
        }
        let (keep, from_store) = kept.unzip();
        let state = State {
            prefix: rules.prefix,
            core,
            effects: Effects::default(),
            clock,
            wall_offset_ms: 0,
            limits,
            keepalive,
            links: Links::default(),
            scratch: BytesMut::new(),
            flusher: None,
            armed: Millis(0),
            some_blocked: false,
            some_paused: false,
            keep,
            queued_since_check: 0,
        };
        let engine = Self { state: Rc::new(RefCell::new(state)), rearmed: Rc::default(), limits };
        engine.follow_wall_clock();
        tokio::task::spawn_local(engine.clone().tick_forever());
        tokio::task::spawn_local(engine.clone().flush_forever());
        if let Some(from_store) = from_store {
            engine.listen_to(from_store);
        }
        Ok(engine)
    }

    /// How dead peers are found.
    pub(crate) fn keepalive(&self) -> Keepalive {
        self.state.borrow().keepalive
    }

    /// Unfinished jobs.
    pub(crate) fn job_count(&self) -> usize {
        self.state.borrow().core.job_count()
    }

    /// Writes what can be written at once.
    pub(crate) fn flush(&self) {
        self.state.borrow_mut().flush_touched();
    }

    /// Takes a new connection in.
    pub(crate) fn connect(&self, writer: OwnedWriteHalf, peer: Peer) -> ConnId {
        let state = &mut *self.state.borrow_mut();
        let now = state.clock.now();
        let conn = state.links.insert(writer, now);
        state.apply(now, Event::Connected { conn, peer });
        conn
    }

    /// A connection ended. What still waits for its peer is handed over.
    pub(crate) fn disconnect(&self, conn: ConnId) -> Option<Linger> {
        let state = &mut *self.state.borrow_mut();
        state.apply(state.clock.now(), Event::Closed { conn });
        state.settle(&self.rearmed);
        state.links.remove(conn)
    }

    /// Reads from a connection and applies what it sent, once; see [`step::Feed`].
    pub(crate) fn poll_connection(
        &self,
        cx: &mut Context<'_>,
        conn: ConnId,
        reader: &mut OwnedReadHalf,
        feed: &mut step::Feed,
    ) -> Poll<&'static str> {
        self.state.borrow_mut().poll_connection(cx, conn, reader, feed, &self.rearmed)
    }

    /// What a connection has to remember of its stream.
    pub(crate) fn feed(&self) -> step::Feed {
        step::Feed::new(self.limits.packet_bytes)
    }

    fn follow_wall_clock(&self) {
        let state = &mut *self.state.borrow_mut();
        let offset_ms = state.clock.wall_offset_ms();
        if offset_ms.abs_diff(state.wall_offset_ms) > WALL_DRIFT_MS {
            state.wall_offset_ms = offset_ms;
            state.apply(state.clock.now(), Event::WallClock { offset_ms });
            state.settle(&self.rearmed);
        }
    }

    async fn tick_forever(self) {
        let mut next_sweep = Millis(0);
        loop {
            let at = {
                let state = &mut *self.state.borrow_mut();
                let now = state.clock.now();
                if next_sweep <= now {
                    next_sweep = now.plus(SWEEP_MS);
                }
                state.armed = state.core.next_deadline().map_or(next_sweep, |due| due.min(next_sweep));
                state.clock.instant(state.armed)
            };
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = self.rearmed.notified() => continue,
            }
            let now = {
                let state = &mut *self.state.borrow_mut();
                let now = state.clock.now();
                state.apply(now, Event::Tick);
                state.settle(&self.rearmed);
                now
            };
            if next_sweep <= now {
                self.follow_wall_clock();
                self.state.borrow_mut().cut_stalled();
            }
        }
    }

    async fn flush_forever(self) {
        std::future::poll_fn(|cx| {
            let state = &mut *self.state.borrow_mut();
            state.flush_touched();
            state.flusher = Some(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }
}

impl State {
    /// Hands one event to the core and carries its effects out.
    fn apply(&mut self, now: Millis, event: Event) {
        self.core.handle(now, event, &mut self.effects);
        self.carry_out();
    }

    /// After events: wakes the tasks that have something to do now.
    fn settle(&mut self, rearmed: &Notify) {
        self.hand_over();
        if self.core.next_deadline().is_some_and(|due| due < self.armed) {
            rearmed.notify_one();
        }
        if self.links.has_touched()
            && let Some(flusher) = &self.flusher
        {
            flusher.wake_by_ref();
        }
        self.keep_output_within_budget();
    }
}

/// How long the last words of a closed connection are offered to its peer.
pub(crate) const LINGER: Duration = Duration::from_secs(10);
