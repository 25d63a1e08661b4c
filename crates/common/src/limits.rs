//! Every limit of the protocol, named with its unit.

/// Bytes of a packet header: magic, type, body length.
pub const HEADER_BYTES: usize = 12;

/// Longest NUL-terminated (or only) argument of a packet, its NUL included. Stock gearmand holds the
/// arguments in a buffer of this size and drops the connection beyond it.
pub const ARGUMENT_BYTES: usize = 8192;

/// Longest line of the text admin protocol, its line end included.
pub const LINE_BYTES: usize = 8192;

/// Most words on a line of the text admin protocol; one more closes the connection.
pub const LINE_WORDS: usize = 5;

/// Longest unique key of a job.
pub const UNIQUE_BYTES: usize = 64;

/// Longest job handle stock clients have room for (64 bytes with its NUL).
pub const HANDLE_BYTES: usize = 63;

/// Longest handle prefix that leaves room for `:` and a 13-digit number within [`HANDLE_BYTES`].
pub const HANDLE_PREFIX_BYTES: usize = HANDLE_BYTES - 1 - 13;

/// Longest client id kept of SET_CLIENT_ID.
pub const CLIENT_ID_BYTES: usize = 127;

/// Longest denominator of WORK_STATUS that is relayed; stock gearmand drops longer ones silently.
pub const DENOMINATOR_BYTES: usize = 11;

/// Largest packet body accepted unless configured otherwise: 1 GiB.
pub const PACKET_BYTES_DEFAULT: u64 = 1 << 30;
