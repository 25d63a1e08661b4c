//! Tables and facts of the admin protocol. Functions stand in the order of their creation, jobs in that of their
//! handles, connections newest first.

use super::Core;
use super::job::Standing;
use bytes::{BufMut, Bytes, BytesMut};
use conveyor_common::Priority;
use std::fmt::Write;

/// Writes tab-separated columns behind a name.
fn line(out: &mut BytesMut, name: &[u8], columns: &[usize]) {
    out.put_slice(name);
    for column in columns {
        // Writing to memory that grows cannot fail.
        let _ = write!(out, "\t{column}");
    }
    out.put_u8(b'\n');
}

fn table(fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    fill(&mut out);
    out.put_slice(b".\n");
    out.freeze()
}

impl Core {
    /// `readiness`: whether background jobs are accepted, and how many stored ones were read while others are not.
    pub(super) fn report_readiness(&self) -> Bytes {
        if self.journal.has_failed() {
            return Bytes::from_static(b"ERR STORE_FAILED background+jobs+are+refused\n");
        }
        if self.journal.is_away() {
            return Bytes::from_static(b"ERR STORE_AWAY background+jobs+are+refused+until+it+is+back\n");
        }
        match self.loading_so_far() {
            Some(read) => Bytes::from(format!("OK loading {read}\n")),
            None => Bytes::from_static(b"OK ready\n"),
        }
    }

    /// `status`: queued and running, running, workers. Jobs that are not read from the store yet are queued.
    pub(super) fn report_status(&self) -> Bytes {
        table(|out| {
            for (_, function) in self.functions.iter() {
                line(out, &function.name, &[function.total(), function.running, function.workers]);
            }
        })
    }

    /// `prioritystatus`: queued high, normal, low, and workers.
    pub(super) fn report_priority_status(&self) -> Bytes {
        table(|out| {
            for (_, function) in self.functions.iter() {
                let queued =
                    |priority| *function.queued.of(priority) + function.unread_at(priority).jobs as usize;
                let [high, normal, low] = Priority::ALL.map(queued);
                line(out, &function.name, &[high, normal, low, function.workers]);
            }
        })
    }

    /// `workers`: every connection, the asking one included.
    pub(super) fn report_workers(&self) -> Bytes {
        let mut conns: Vec<_> = self.conns.iter().collect();
        conns.sort_unstable_by_key(|conn| std::cmp::Reverse(conn.age));
        table(|out| {
            for conn in conns {
                let _ = write!(out, "{} ", conn.peer.descriptor);
                out.put_slice(&conn.peer.address);
                out.put_u8(b' ');
                out.put_slice(&conn.client_id);
                out.put_slice(b" :");
                for ability in conn.abilities.iter() {
                    out.put_u8(b' ');
                    let function = self.functions.get(ability.function);
                    out.put_slice(function.map_or(&[], |function| &function.name));
                }
                out.put_u8(b'\n');
            }
        })
    }

    /// `show jobs`: handle, retries, given up, background.
    pub(super) fn report_jobs(&self) -> Bytes {
        table(|out| {
            for (_, job) in self.jobs.sorted() {
                let ignored = usize::from(job.standing != Standing::Wanted);
                let columns = [job.retries as usize, ignored, usize::from(job.background)];
                line(out, self.rules.prefix.write(job.number).as_bytes(), &columns);
            }
        })
    }

    /// `show unique jobs`.
    pub(super) fn report_unique_jobs(&self) -> Bytes {
        table(|out| {
            for (_, job) in self.jobs.sorted() {
                line(out, job.unique(), &[]);
            }
        })
    }
}
