//! Packet types and the layout of their bodies.

/// A packet type of the Gearman protocol; the number is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Opcode {
    /// Worker registers a function.
    CanDo = 1,
    /// Worker takes a registration back.
    CantDo = 2,
    /// Worker takes all registrations back.
    ResetAbilities = 3,
    /// Worker goes to sleep until NOOP.
    PreSleep = 4,
    /// A number nobody uses.
    Unused = 5,
    /// Server wakes a worker.
    Noop = 6,
    /// Foreground job, normal priority.
    SubmitJob = 7,
    /// Server names the handle of a submission.
    JobCreated = 8,
    /// Worker asks for a job.
    GrabJob = 9,
    /// Server has none.
    NoJob = 10,
    /// Server hands a job out.
    JobAssign = 11,
    /// Progress of a job.
    WorkStatus = 12,
    /// Result of a job.
    WorkComplete = 13,
    /// A job failed.
    WorkFail = 14,
    /// Client asks about a job by handle.
    GetStatus = 15,
    /// Asks for the same bytes back.
    EchoReq = 16,
    /// The same bytes.
    EchoRes = 17,
    /// Background job, normal priority.
    SubmitJobBg = 18,
    /// Server refuses a request.
    Error = 19,
    /// Answer to GET_STATUS.
    StatusRes = 20,
    /// Foreground job, high priority.
    SubmitJobHigh = 21,
    /// Worker names itself for the `workers` list.
    SetClientId = 22,
    /// CAN_DO with a time limit for each job.
    CanDoTimeout = 23,
    /// Never implemented by anybody.
    AllYours = 24,
    /// A job failed with a message.
    WorkException = 25,
    /// Asks for an option of the connection.
    OptionReq = 26,
    /// Grants it.
    OptionRes = 27,
    /// A part of a result.
    WorkData = 28,
    /// A warning of a job.
    WorkWarning = 29,
    /// Worker asks for a job and its unique.
    GrabJobUniq = 30,
    /// Job with its unique.
    JobAssignUniq = 31,
    /// Background job, high priority.
    SubmitJobHighBg = 32,
    /// Foreground job, low priority.
    SubmitJobLow = 33,
    /// Background job, low priority.
    SubmitJobLowBg = 34,
    /// Job by cron-like fields; no server implements it.
    SubmitJobSched = 35,
    /// Background job that starts at a time.
    SubmitJobEpoch = 36,
    /// Foreground job with a reducer.
    SubmitReduceJob = 37,
    /// Background job with a reducer.
    SubmitReduceJobBackground = 38,
    /// Worker asks for a job, its unique and reducer.
    GrabJobAll = 39,
    /// Job with its unique and reducer.
    JobAssignAll = 40,
    /// Client asks about a job by unique.
    GetStatusUnique = 41,
    /// Answer to GET_STATUS_UNIQUE.
    StatusResUnique = 42,
}

/// How the body of a packet is cut into arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of arguments before the payload, or in all when there is none.
    pub args: usize,
    /// Whether a payload follows: then every argument ends with NUL, else the last one does not.
    pub payload: bool,
}

impl Opcode {
    /// Every packet type, in the order of its number.
    pub const ALL: [Self; 42] = [
        Self::CanDo,
        Self::CantDo,
        Self::ResetAbilities,
        Self::PreSleep,
        Self::Unused,
        Self::Noop,
        Self::SubmitJob,
        Self::JobCreated,
        Self::GrabJob,
        Self::NoJob,
        Self::JobAssign,
        Self::WorkStatus,
        Self::WorkComplete,
        Self::WorkFail,
        Self::GetStatus,
        Self::EchoReq,
        Self::EchoRes,
        Self::SubmitJobBg,
        Self::Error,
        Self::StatusRes,
        Self::SubmitJobHigh,
        Self::SetClientId,
        Self::CanDoTimeout,
        Self::AllYours,
        Self::WorkException,
        Self::OptionReq,
        Self::OptionRes,
        Self::WorkData,
        Self::WorkWarning,
        Self::GrabJobUniq,
        Self::JobAssignUniq,
        Self::SubmitJobHighBg,
        Self::SubmitJobLow,
        Self::SubmitJobLowBg,
        Self::SubmitJobSched,
        Self::SubmitJobEpoch,
        Self::SubmitReduceJob,
        Self::SubmitReduceJobBackground,
        Self::GrabJobAll,
        Self::JobAssignAll,
        Self::GetStatusUnique,
        Self::StatusResUnique,
    ];

    /// The type with this number; none for 0 and for everything beyond 42.
    #[must_use]
    pub fn from_wire(number: u32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        self as u32
    }

    /// How the body is cut into arguments.
    #[must_use]
    pub const fn layout(self) -> Layout {
        let (args, payload) = match self {
            Self::ResetAbilities
            | Self::PreSleep
            | Self::Unused
            | Self::Noop
            | Self::GrabJob
            | Self::GrabJobUniq
            | Self::GrabJobAll
            | Self::NoJob
            | Self::AllYours => (0, false),
            Self::CanDo
            | Self::CantDo
            | Self::JobCreated
            | Self::WorkFail
            | Self::GetStatus
            | Self::SetClientId
            | Self::OptionReq
            | Self::OptionRes
            | Self::GetStatusUnique => (1, false),
            Self::CanDoTimeout | Self::Error => (2, false),
            Self::WorkStatus => (3, false),
            Self::StatusRes => (5, false),
            Self::StatusResUnique => (6, false),
            Self::EchoReq | Self::EchoRes => (0, true),
            Self::WorkComplete | Self::WorkException | Self::WorkData | Self::WorkWarning => (1, true),
            Self::SubmitJob
            | Self::SubmitJobBg
            | Self::SubmitJobHigh
            | Self::SubmitJobHighBg
            | Self::SubmitJobLow
            | Self::SubmitJobLowBg
            | Self::JobAssign => (2, true),
            Self::SubmitJobEpoch | Self::JobAssignUniq => (3, true),
            Self::SubmitReduceJob | Self::SubmitReduceJobBackground | Self::JobAssignAll => (4, true),
            Self::SubmitJobSched => (7, true),
        };
        Layout { args, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_map_back_to_their_types() {
        for (index, opcode) in Opcode::ALL.into_iter().enumerate() {
            assert_eq!(opcode.to_wire() as usize, index + 1);
            assert_eq!(Opcode::from_wire(opcode.to_wire()), Some(opcode));
        }
    }

    #[test]
    fn bug_a_type_with_the_highest_bit_set_is_unknown_and_nothing_worse() {
        for number in [0, 43, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            assert_eq!(Opcode::from_wire(number), None);
        }
    }
}
