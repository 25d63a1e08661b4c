//! Admin lines that change something.

use super::change::Change;
use super::effect::{Effects, Reply};
use super::event::Event;
use super::job::own;
use super::unread::{Sought, Wait};
use super::{Core, MAX_FUNCTIONS};
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::Command;
use conveyor_common::{ConnId, Millis};

const OK: &[u8] = b"OK\r\n";

impl Core {
    /// Any line of the admin protocol.
    pub(super) fn command(&mut self, now: Millis, conn: ConnId, command: Command, fx: &mut Effects) {
        if let Some(wait) = self.must_wait(&command) {
            return self.defer(conn, wait, Event::Command { conn, command }, fx);
        }
        let text = match command {
            Command::Status => self.report_status(),
            Command::PriorityStatus => self.report_priority_status(),
            Command::Workers => self.report_workers(),
            Command::ShowJobs => self.report_jobs(),
            Command::ShowUniqueJobs => self.report_unique_jobs(),
            Command::Version => Bytes::from(format!("OK {}\n", self.rules.identity.version)),
            Command::GetPid => Bytes::from(format!("OK {}\n", self.rules.identity.pid)),
            Command::Verbose => Bytes::from(format!("OK {}\n", self.rules.identity.verbose)),
            Command::Readiness => self.report_readiness(),
            Command::MaxQueue { function, limits } => self.limit_queue(&function, limits, fx),
            Command::CreateFunction(name) => self.create_function(&name, fx),
            Command::DropFunction(name) => self.drop_function(&name, fx),
            Command::CancelJob(handle) => self.cancel_job(now, &handle, fx),
        };
        fx.send(conn, Reply::Text(text));
    }

    /// What a command must wait for, if it is about jobs that are still to come from the store.
    fn must_wait(&self, command: &Command) -> Option<Wait> {
        match command {
            Command::CancelJob(handle) => {
                let number = self.rules.prefix.parse(handle)?;
                let unknown = self.jobs.by_number(number).is_none();
                (unknown && matches!(self.seek(number), Sought::Unknown)).then_some(Wait::Row(number))
            }
            Command::DropFunction(name) => {
                let function = self.functions.find_ignoring_case(name)?;
                self.is_unread(function).then_some(Wait::Jobs(function))
            }
            _ => None,
        }
    }

    /// Answers OK for an unknown function too, and then does nothing: as in gearmand.
    fn limit_queue(&mut self, name: &Bytes, limits: PerPriority<u32>, fx: &mut Effects) -> Bytes {
        let id = self.functions.find(name);
        if let Some(function) = id.and_then(|id| self.functions.get_mut(id)) {
            function.limits = limits;
            let name = function.name.clone();
            self.append(Change::QueueLimited { name, limits }, fx);
        }
        Bytes::from_static(OK)
    }

    fn create_function(&mut self, name: &Bytes, fx: &mut Effects) -> Bytes {
        if self.functions.find(name).is_none() {
            if self.functions.len() >= MAX_FUNCTIONS {
                return Bytes::from_static(b"ERR QUEUE_ERROR too+many+functions\r\n");
            }
            self.functions.create(name);
            self.append(Change::FunctionCreated { name: own(name.clone()) }, fx);
        }
        Bytes::from_static(OK)
    }

    /// Jobs still queued go with their function: their clients are told, and nothing is left behind that
    /// could never run.
    fn drop_function(&mut self, name: &Bytes, fx: &mut Effects) -> Bytes {
        let Some(id) = self.functions.find_ignoring_case(name) else {
            return Bytes::from_static(b"ERR function not found\r\n");
        };
        if self.functions.get(id).is_some_and(|function| function.workers > 0 || function.running > 0) {
            let text = b"ERR there are still connected workers or executing clients\r\n";
            return Bytes::from_static(text);
        }
        self.drop_queued(id, fx);
        if let Some(function) = self.functions.remove(id) {
            self.append(Change::FunctionDropped { name: function.name }, fx);
        }
        Bytes::from_static(OK)
    }

    fn cancel_job(&mut self, now: Millis, handle: &Bytes, fx: &mut Effects) -> Bytes {
        const UNKNOWN: &[u8] = b"ERR UNKNOWN_JOB\r\n";
        let Some(number) = self.rules.prefix.parse(handle) else { return Bytes::from_static(UNKNOWN) };
        if let Some(id) = self.jobs.by_number(number) {
            self.cancel(id, fx);
        } else if let Sought::InStore(row) = self.seek(number) {
            self.cancel_unread(now, number, row, fx);
        } else {
            return Bytes::from_static(UNKNOWN);
        }
        Bytes::from_static(OK)
    }
}
