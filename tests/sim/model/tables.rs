//! The tables of the admin protocol, as the model sees them.

use super::{Conn, Job, Model, Wish};
use bytes::Bytes;
use conveyor_common::Priority;

impl Model {
    fn count(&self, function: &Bytes, which: impl Fn(&Job) -> bool) -> usize {
        self.jobs.iter().filter(|job| job.function == *function && which(job)).count()
    }

    fn workers_of(&self, function: &Bytes) -> usize {
        let abilities = self.conns.iter().flat_map(|conn| &conn.abilities);
        abilities.filter(|(name, _)| name == function).count()
    }

    pub(super) fn status(&self) -> String {
        let line = |function: &Bytes| {
            let (total, running) =
                (self.count(function, |_| true), self.count(function, |job| job.worker.is_some()));
            let name = String::from_utf8_lossy(function);
            format!("{name}\t{total}\t{running}\t{}\n", self.workers_of(function))
        };
        self.functions.iter().map(|(function, _)| line(function)).collect::<String>() + ".\n"
    }

    pub(super) fn priority_status(&self) -> String {
        let line = |function: &Bytes| {
            let of =
                |priority| self.count(function, |job: &Job| job.worker.is_none() && job.priority == priority);
            let [high, normal, low] = Priority::ALL.map(of);
            let name = String::from_utf8_lossy(function);
            format!("{name}\t{high}\t{normal}\t{low}\t{}\n", self.workers_of(function))
        };
        self.functions.iter().map(|(function, _)| line(function)).collect::<String>() + ".\n"
    }

    pub(super) fn workers(&self) -> String {
        let line = |conn: &Conn| {
            let names = conn.abilities.iter().map(|(name, _)| format!(" {}", String::from_utf8_lossy(name)));
            let client_id = String::from_utf8_lossy(&conn.client_id).into_owned();
            format!("0  {client_id} :{}\n", names.collect::<String>())
        };
        self.conns.iter().rev().map(line).collect::<String>() + ".\n"
    }

    pub(super) fn show_jobs(&self) -> String {
        let line = |job: &Job| {
            let (ignored, kept) = (u8::from(job.wish != Wish::Wanted), u8::from(job.background));
            format!(
                "{}\t{}\t{ignored}\t{kept}\n",
                String::from_utf8(self.handle_of(job)).unwrap(),
                job.retries
            )
        };
        self.jobs.iter().map(line).collect::<String>() + ".\n"
    }

    pub(super) fn show_unique_jobs(&self) -> String {
        let line = |job: &Job| String::from_utf8_lossy(&job.unique).into_owned() + "\n";
        self.jobs.iter().map(line).collect::<String>() + ".\n"
    }
}
