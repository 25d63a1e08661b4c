//! What reaches the peers of such a world, and what it must not contradict.

use super::{Ask, Known, Queued, Task, World};
use bytes::Bytes;
use conveyor_common::{ConnId, JobNumber};
use conveyor_server::core::{Durability, Reply};

impl World {
    pub(super) fn queue(&mut self, conn: ConnId, queued: Queued) {
        self.conns.get_mut(&conn).unwrap_or_else(|| panic!("{queued:?} for nobody")).queue.push_back(queued);
    }

    pub(super) fn fill(&mut self, conn: ConnId, ticket: u64, reply: Reply) {
        let queue = &mut self.conns.get_mut(&conn).expect("answers go to who is there").queue;
        let place = queue.iter_mut().find_map(|queued| match queued {
            Queued::Place(other, answer) if *other == ticket => Some(answer),
            _ => None,
        });
        assert_eq!(place.expect("a place was kept").replace(reply), None, "answered once");
    }

    /// What may leave reaches the peer.
    pub(super) fn deliver(&mut self, conn: ConnId) {
        while let Some(queue) = self.conns.get_mut(&conn).map(|peer| &mut peer.queue) {
            match queue.pop_front() {
                None => return,
                Some(Queued::Place(ticket, None)) => {
                    return queue.push_front(Queued::Place(ticket, None));
                }
                Some(Queued::Reply(reply) | Queued::Place(_, Some(reply))) => self.see(conn, reply),
            }
        }
    }

    pub(super) fn expect(&mut self, conn: ConnId, reply: &Reply) -> Ask {
        let peer = self.conns.get_mut(&conn).expect("it is there");
        peer.asks.pop_front().unwrap_or_else(|| panic!("nobody asked for {reply:?}"))
    }

    pub(super) fn see(&mut self, conn: ConnId, reply: Reply) {
        match &reply {
            Reply::JobCreated(number) => {
                let Ask::Submit(task) = self.expect(conn, &reply) else { panic!("{reply:?} out of turn") };
                self.accepted(*number, task);
            }
            Reply::Error { text, .. } => match self.expect(conn, &reply) {
                Ask::Submit(task) => {
                    let may_refuse = self.failed || self.unsure;
                    assert!(may_refuse || *text == "Job queue is full", "{text} for {:?}", self.tasks[task]);
                    self.tasks[task].refused = true;
                    self.counts.refused += 1;
                }
                Ask::Other => {}
                Ask::Grab => panic!("{reply:?} for a GRAB"),
            },
            Reply::Assign { job, function, payload, .. } => {
                assert_eq!(self.expect(conn, &reply), Ask::Grab);
                self.assigned(conn, *job, function, payload);
            }
            Reply::NoJob => assert_eq!(self.expect(conn, &reply), Ask::Grab),
            Reply::StatusRes { .. } | Reply::StatusResUnique { .. } | Reply::Text(_) => {
                assert_eq!(self.expect(conn, &reply), Ask::Other);
            }
            _ => {}
        }
    }

    pub(super) fn accepted(&mut self, number: JobNumber, task: usize) {
        let Task { function, unique, background, .. } = self.tasks[task].clone();
        let life = self.life;
        self.counts.accepted += 1;
        let known = self.known.entry(number).or_insert_with(|| Known {
            function: function.clone(),
            unique: unique.clone(),
            life,
            owed: false,
        });
        assert_eq!((&known.function, &known.unique), (&function, &unique), "{number:?} is two jobs");
        assert!(known.life == life || !unique.is_empty(), "{number:?} was given out twice");
        // An answer may come later than the end of what it is about.
        known.owed |= background && !self.ended.contains(&number);
        if known.owed && self.rules.durability == Durability::Sync {
            let on_disk = self.disk.jobs.keys().any(|(_, other)| *other == number);
            assert!(on_disk, "{number:?} was accepted and is not stored");
        }
    }

    pub(super) fn assigned(&mut self, conn: ConnId, number: JobNumber, function: &Bytes, payload: &Bytes) {
        let text = std::str::from_utf8(payload).unwrap();
        let task: usize =
            text.trim_start_matches('p').trim_end_matches('.').parse().expect("a payload of ours");
        let task = &self.tasks[task];
        assert_eq!(task.function, *function, "a payload of another function");
        assert!(!task.refused || !task.unique.is_empty(), "{number:?} was refused and is run");
        if let Some(known) = self.known.get(&number) {
            assert_eq!((&known.function, &known.unique), (function, &task.unique));
        }
        assert!(!self.unread.cancelled.contains(&number), "{number:?} was cancelled before it came");
        assert_eq!(self.held.insert(number, conn), None, "{number:?} was handed out twice");
    }
}
