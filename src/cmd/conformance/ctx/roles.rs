//! What clients and workers do, in the words of the protocol; each helper checks the answer.

use super::packet::{
    CAN_DO, CANT_DO, ERROR, GET_STATUS, GET_STATUS_UNIQUE, GRAB_JOB, GRAB_JOB_UNIQ, JOB_ASSIGN,
    JOB_ASSIGN_UNIQ, JOB_CREATED, NO_JOB, NOOP, OPTION_REQ, OPTION_RES, PRE_SLEEP, STATUS_RES,
    STATUS_RES_UNIQUE, WORK_COMPLETE, kind_name,
};
use super::{Bytes, Checked, Failure, Peer};

impl Peer {
    /// Submits a job and gives its handle.
    pub(crate) fn submit(
        &mut self,
        kind: u32,
        function: impl AsRef<[u8]>,
        unique: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> Checked<String> {
        self.submit_args(kind, &[&function, &unique, &payload])
    }

    /// Submits with any arguments and gives the handle.
    pub(crate) fn submit_args(&mut self, kind: u32, args: &[Bytes]) -> Checked<String> {
        self.send(kind, args)?;
        self.created()
    }

    /// The next packet is a JOB_CREATED; gives the handle.
    pub(crate) fn created(&mut self) -> Checked<String> {
        Ok(self.expect_kind(JOB_CREATED)?.text(0, 1))
    }

    /// The next packet is this error, and the connection is kept.
    pub(crate) fn error(&mut self, code: &str, text: &str) -> Checked {
        self.expect(ERROR, &[&code, &text])
    }

    /// Registers an ability; on return the server knows it.
    pub(crate) fn can_do(&mut self, function: impl AsRef<[u8]>) -> Checked {
        self.send(CAN_DO, &[&function])?;
        self.sync()
    }

    /// Takes an ability back; on return the server knows it.
    pub(crate) fn cant_do(&mut self, function: impl AsRef<[u8]>) -> Checked {
        self.send(CANT_DO, &[&function])?;
        self.sync()
    }

    /// Goes to sleep, and is not woken at once.
    pub(crate) fn sleep(&mut self) -> Checked {
        self.send(PRE_SLEEP, &[])?;
        self.sync()
    }

    /// The next packet is a NOOP.
    pub(crate) fn noop(&mut self) -> Checked {
        self.expect(NOOP, &[])
    }

    /// Grabs exactly this job.
    pub(crate) fn grab(
        &mut self,
        handle: impl AsRef<[u8]>,
        function: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> Checked {
        self.send(GRAB_JOB, &[])?;
        self.expect(JOB_ASSIGN, &[&handle, &function, &payload])
    }

    /// Grabs exactly this job with its unique.
    pub(crate) fn grab_uniq(
        &mut self,
        handle: impl AsRef<[u8]>,
        function: impl AsRef<[u8]>,
        unique: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> Checked {
        self.send(GRAB_JOB_UNIQ, &[])?;
        self.expect(JOB_ASSIGN_UNIQ, &[&handle, &function, &unique, &payload])
    }

    /// Grabs any job and gives its payload.
    pub(crate) fn grab_payload(&mut self) -> Checked<String> {
        self.send(GRAB_JOB, &[])?;
        let packet = self.packet()?;
        match packet.kind {
            JOB_ASSIGN => Ok(packet.text(2, 3)),
            NO_JOB => Ok("NO_JOB".to_owned()),
            kind => {
                let what = format!("expected JOB_ASSIGN or NO_JOB, got {}", kind_name(kind));
                Err(Failure { received: packet.bytes(), ..self.failure(what) })
            }
        }
    }

    /// Grabs this many jobs without finishing them and gives their payloads in order.
    pub(crate) fn grab_payloads(&mut self, count: usize) -> Checked<Vec<String>> {
        (0..count).map(|_| self.grab_payload()).collect()
    }

    /// Grabs, and there is nothing.
    pub(crate) fn no_job(&mut self) -> Checked {
        self.send(GRAB_JOB, &[])?;
        self.expect(NO_JOB, &[])
    }

    /// Finishes a job without an error.
    pub(crate) fn complete(&mut self, handle: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Checked {
        self.work(WORK_COMPLETE, &[&handle, &payload])
    }

    /// Reports on a job without an error.
    pub(crate) fn work(&mut self, kind: u32, args: &[Bytes]) -> Checked {
        self.send(kind, args)?;
        self.sync()
    }

    /// Gets the result of a job.
    pub(crate) fn completed(&mut self, handle: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Checked {
        self.expect(WORK_COMPLETE, &[&handle, &payload])
    }

    /// Asks for the status of a handle: known, running, numerator, denominator.
    pub(crate) fn status(&mut self, handle: impl AsRef<[u8]>, expected: [&str; 4]) -> Checked {
        let [known, running, numerator, denominator] = expected;
        self.send(GET_STATUS, &[&handle])?;
        self.expect(STATUS_RES, &[&handle, &known, &running, &numerator, &denominator])
    }

    /// Asks for the status of a unique: as [`Peer::status`], and the number of clients.
    pub(crate) fn status_unique(&mut self, unique: impl AsRef<[u8]>, expected: [&str; 5]) -> Checked {
        let [known, running, numerator, denominator, clients] = expected;
        self.send(GET_STATUS_UNIQUE, &[&unique])?;
        self.expect(STATUS_RES_UNIQUE, &[&unique, &known, &running, &numerator, &denominator, &clients])
    }

    /// Asks for exceptions on this connection.
    pub(crate) fn want_exceptions(&mut self) -> Checked {
        self.send(OPTION_REQ, &[&"exceptions"])?;
        self.expect(OPTION_RES, &[&"exceptions"])
    }
}
