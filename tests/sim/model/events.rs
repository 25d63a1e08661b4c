//! One event for the model, and the comparison of its answers with those of the core.

use super::{Model, Replies, error};
use bytes::Bytes;
use conveyor_common::protocol::text::Command;
use conveyor_common::protocol::{ErrorCode, Request};
use conveyor_common::{ConnId, Millis};
use conveyor_server::core::{Effect, Event, Reply};
use std::collections::BTreeMap;

impl Model {
    /// What everybody is answered, NOOPs left out but for that to PRE_SLEEP.
    pub(crate) fn handle(&mut self, now: Millis, event: &Event) -> Replies {
        self.now_ms = now.0;
        match event {
            Event::Connected { conn, .. } => self.connected(*conn),
            Event::Closed { conn } => return self.closed(*conn),
            Event::Request { conn, request } => return self.request(*conn, request),
            Event::Command { conn, command } => return self.command(*conn, command),
            Event::Tick => return self.tick(),
            Event::WallClock { offset_ms } => {
                self.wall_offset_ms = *offset_ms;
                return self.tick();
            }
            Event::Stored { .. }
            | Event::Refused { .. }
            | Event::StoreAway { .. }
            | Event::StoreFailed
            | Event::Loading { .. }
            | Event::Loaded { .. }
            | Event::Fetched { .. }
            | Event::Found { .. }
            | Event::Stopping => unreachable!("the model has no store: see stored"),
        }
        Vec::new()
    }

    fn request(&mut self, id: ConnId, request: &Request) -> Replies {
        match request {
            Request::CanDo { function } => self.can_do(id, function, 0),
            Request::CanDoTimeout { function, timeout_ms } => self.can_do(id, function, *timeout_ms),
            Request::SetClientId { id: name } => self.client_id(id, name),
            Request::CantDo { function } => return self.cant_do(id, Some(function)),
            Request::ResetAbilities => return self.cant_do(id, None),
            Request::PreSleep => return self.pre_sleep(id),
            Request::Grab(form) => return self.grab(id, *form),
            Request::WorkStatus { handle, numerator, denominator } => {
                return self.progress(id, handle, (numerator, denominator));
            }
            Request::WorkComplete { handle, payload } => return self.complete(id, handle, payload),
            Request::WorkFail { handle } => return self.fail(id, handle),
            Request::WorkException { handle, payload } => return self.exception(id, handle, payload),
            Request::WorkData { handle, payload } => return self.part(id, handle, payload, false),
            Request::WorkWarning { handle, payload } => return self.part(id, handle, payload, true),
            Request::Submit { kind, function, unique, payload } => {
                return self.submit(id, kind, (function, unique, payload));
            }
            Request::GetStatus { handle } => return self.get_status(id, handle),
            Request::GetStatusUnique { unique } => return self.get_status_unique(id, unique),
            Request::Echo { payload } => return vec![(id, Reply::Echo(payload.clone()))],
            Request::Option { option } => return self.option(id, option),
            Request::AllYours | Request::SubmitSched { .. } => {
                return vec![(id, error(ErrorCode::InvalidCommand, "Command not expected"))];
            }
        }
        Vec::new()
    }

    fn command(&mut self, id: ConnId, command: &Command) -> Replies {
        let identity = &self.rules.identity;
        let (mut replies, text) = match command {
            Command::Status => (vec![], self.status()),
            Command::PriorityStatus => (vec![], self.priority_status()),
            Command::Workers => (vec![], self.workers()),
            Command::ShowJobs => (vec![], self.show_jobs()),
            Command::ShowUniqueJobs => (vec![], self.show_unique_jobs()),
            Command::Version => (vec![], format!("OK {}\n", identity.version)),
            Command::GetPid => (vec![], format!("OK {}\n", identity.pid)),
            // The model stores nothing: there is nothing to wait for.
            Command::Readiness => (vec![], "OK ready\n".to_owned()),
            Command::Verbose => (vec![], format!("OK {}\n", identity.verbose)),
            Command::MaxQueue { function, limits } => (vec![], self.max_queue(function, *limits).to_owned()),
            Command::CreateFunction(name) => (vec![], self.create_function(name).to_owned()),
            Command::DropFunction(name) => {
                let (replies, text) = self.drop_function(name);
                (replies, text.to_owned())
            }
            Command::CancelJob(handle) => {
                let (replies, text) = self.cancel(handle);
                (replies, text.to_owned())
            }
        };
        replies.push((id, Reply::Text(Bytes::from(text))));
        replies
    }
}

/// The replies among the effects of the core that the model has an opinion on.
pub(crate) fn comparable(event: &Event, effects: &[Effect]) -> Replies {
    let asked = match event {
        Event::Request { conn, request: Request::PreSleep } => Some(*conn),
        _ => None,
    };
    let reply = |effect: &Effect| match effect {
        Effect::Send { conn, reply } if *reply != Reply::Noop || asked == Some(*conn) => {
            Some((*conn, reply.clone()))
        }
        _ => None,
    };
    effects.iter().filter_map(reply).collect()
}

/// Replies by connection; what matters is the order within each.
pub(crate) fn by_conn(replies: &Replies) -> BTreeMap<ConnId, Vec<&Reply>> {
    let mut sorted: BTreeMap<ConnId, Vec<&Reply>> = BTreeMap::new();
    for (conn, reply) in replies {
        sorted.entry(*conn).or_default().push(reply);
    }
    sorted
}
