//! Packets as bytes. Written apart from the server's own codec on purpose: what checks it must not share it.

/// Anything that is bytes: names, handles, payloads.
pub(crate) type Bytes<'a> = &'a dyn AsRef<[u8]>;

pub(crate) const CAN_DO: u32 = 1;
pub(crate) const CANT_DO: u32 = 2;
pub(crate) const RESET_ABILITIES: u32 = 3;
pub(crate) const PRE_SLEEP: u32 = 4;
pub(crate) const NOOP: u32 = 6;
pub(crate) const SUBMIT_JOB: u32 = 7;
pub(crate) const JOB_CREATED: u32 = 8;
pub(crate) const GRAB_JOB: u32 = 9;
pub(crate) const NO_JOB: u32 = 10;
pub(crate) const JOB_ASSIGN: u32 = 11;
pub(crate) const WORK_STATUS: u32 = 12;
pub(crate) const WORK_COMPLETE: u32 = 13;
pub(crate) const WORK_FAIL: u32 = 14;
pub(crate) const GET_STATUS: u32 = 15;
pub(crate) const ECHO_REQ: u32 = 16;
pub(crate) const ECHO_RES: u32 = 17;
pub(crate) const SUBMIT_JOB_BG: u32 = 18;
pub(crate) const ERROR: u32 = 19;
pub(crate) const STATUS_RES: u32 = 20;
pub(crate) const SUBMIT_JOB_HIGH: u32 = 21;
pub(crate) const SET_CLIENT_ID: u32 = 22;
pub(crate) const CAN_DO_TIMEOUT: u32 = 23;
pub(crate) const WORK_EXCEPTION: u32 = 25;
pub(crate) const OPTION_REQ: u32 = 26;
pub(crate) const OPTION_RES: u32 = 27;
pub(crate) const WORK_DATA: u32 = 28;
pub(crate) const WORK_WARNING: u32 = 29;
pub(crate) const GRAB_JOB_UNIQ: u32 = 30;
pub(crate) const JOB_ASSIGN_UNIQ: u32 = 31;
pub(crate) const SUBMIT_JOB_HIGH_BG: u32 = 32;
pub(crate) const SUBMIT_JOB_LOW: u32 = 33;
pub(crate) const SUBMIT_JOB_LOW_BG: u32 = 34;
pub(crate) const SUBMIT_JOB_EPOCH: u32 = 36;
pub(crate) const SUBMIT_REDUCE_JOB: u32 = 37;
pub(crate) const SUBMIT_REDUCE_JOB_BG: u32 = 38;
pub(crate) const GRAB_JOB_ALL: u32 = 39;
pub(crate) const JOB_ASSIGN_ALL: u32 = 40;
pub(crate) const GET_STATUS_UNIQUE: u32 = 41;
pub(crate) const STATUS_RES_UNIQUE: u32 = 42;

/// The six plain submissions, foreground first.
pub(crate) const SUBMITS: [u32; 6] =
    [SUBMIT_JOB, SUBMIT_JOB_HIGH, SUBMIT_JOB_LOW, SUBMIT_JOB_BG, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW_BG];

/// `\0REQ`, before every packet to a server.
pub(crate) const REQ: [u8; 4] = *b"\0REQ";
/// `\0RES`, before every packet from a server.
pub(crate) const RES: [u8; 4] = *b"\0RES";
/// Magic, type and length.
pub(crate) const HEADER_BYTES: usize = 12;

/// A packet as a server sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: u32,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    /// The whole packet again, for reports.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        frame(RES, self.kind, &self.body)
    }

    /// The argument number `index` of `count`; the last one is the rest of the body.
    pub(crate) fn arg(&self, index: usize, count: usize) -> Vec<u8> {
        self.body.splitn(count, |byte| *byte == 0).nth(index).unwrap_or_default().to_vec()
    }

    /// As [`Packet::arg`], as text.
    pub(crate) fn text(&self, index: usize, count: usize) -> String {
        String::from_utf8_lossy(&self.arg(index, count)).into_owned()
    }

    /// Takes a packet off the front of what was received, once it is complete.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn take(input: &mut Vec<u8>) -> Result<Option<Self>, String> {
        let Some((magic, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
        if *magic != RES {
            return Err("what the server sent does not begin with \\0RES".to_owned());
        }
        let Some((kind, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|error| error.to_string())?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let packet = Self { kind: u32::from_be_bytes(*kind), body: body.to_vec() };
        input.drain(..HEADER_BYTES + length);
        Ok(Some(packet))
    }
}

/// A whole packet: header and body.
pub(crate) fn frame(magic: [u8; 4], kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&magic, &kind.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

/// Arguments with a NUL between each two.
pub(crate) fn body(args: &[Bytes]) -> Vec<u8> {
    args.iter().map(|arg| arg.as_ref()).collect::<Vec<_>>().join(&0)
}

/// A request with these arguments.
pub(crate) fn req(kind: u32, args: &[Bytes]) -> Vec<u8> {
    frame(REQ, kind, &body(args))
}

/// The name of a packet type, for reports.
pub(crate) fn kind_name(kind: u32) -> &'static str {
    match kind {
        NOOP => "NOOP",
        JOB_CREATED => "JOB_CREATED",
        NO_JOB => "NO_JOB",
        JOB_ASSIGN => "JOB_ASSIGN",
        WORK_STATUS => "WORK_STATUS",
        WORK_COMPLETE => "WORK_COMPLETE",
        WORK_FAIL => "WORK_FAIL",
        ECHO_RES => "ECHO_RES",
        ERROR => "ERROR",
        STATUS_RES => "STATUS_RES",
        WORK_EXCEPTION => "WORK_EXCEPTION",
        OPTION_RES => "OPTION_RES",
        WORK_DATA => "WORK_DATA",
        WORK_WARNING => "WORK_WARNING",
        JOB_ASSIGN_UNIQ => "JOB_ASSIGN_UNIQ",
        JOB_ASSIGN_ALL => "JOB_ASSIGN_ALL",
        STATUS_RES_UNIQUE => "STATUS_RES_UNIQUE",
        _ => "a packet that servers do not send",
    }
}
