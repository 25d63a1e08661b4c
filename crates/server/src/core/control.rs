//! Admin lines that change something.

use super::change::Change;
use super::effect::{Effects, Reply};
use super::event::Event;
use super::job::own;
use super::{Core, MAX_FUNCTIONS};
use bytes::Bytes;
use conveyor_common::ConnId;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::Command;

const OK: &[u8] = b"OK\r\n";

impl Core {
    /// Any line of the admin protocol.
    pub(super) fn command(&mut self, conn: ConnId, command: Command, fx: &mut Effects) {
        if self.may_yet_come() && self.asks_for_unread(&command) {
            return fx.defer(conn, Event::Command { conn, command });
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
            Command::CancelJob(handle) => self.cancel_job(&handle, fx),
        };
        fx.send(conn, Reply::Text(text));
    }

    /// Whether the answer depends on jobs that are still to come from the store.
    fn asks_for_unread(&self, command: &Command) -> bool {
        match command {
            Command::CancelJob(handle) => {
                let number = self.rules.prefix.parse(handle);
                number.is_some_and(|number| self.jobs.by_number(number).is_none())
            }
            Command::DropFunction(name) => {
                self.functions.find_ignoring_case(name).is_some_and(|function| self.is_unread(function))
            }
            _ => false,
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

    fn cancel_job(&mut self, handle: &Bytes, fx: &mut Effects) -> Bytes {
        let number = self.rules.prefix.parse(handle);
        match number.and_then(|number| self.jobs.by_number(number)) {
            Some(id) => {
                self.cancel(id, fx);
                Bytes::from_static(OK)
            }
            None => Bytes::from_static(b"ERR UNKNOWN_JOB\r\n"),
        }
    }
}
