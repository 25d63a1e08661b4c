//! Keeps what a command writes: all of it up to a limit, or the end of it.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Tells readers that nobody waits for the end of their stream any more: a process that outlived the command may
/// keep it open for ever.
pub(super) type Cut = watch::Receiver<bool>;

/// Reads once; none at the end of the stream, or after the cut.
pub(super) async fn read_some(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    cut: &mut Cut,
) -> Option<usize> {
    buffer.reserve(READ_BYTES);
    tokio::select! {
        read = from.read_buf(buffer) => read.ok().filter(|read| *read > 0),
        _ = cut.wait_for(|cut| *cut) => None,
    }
}

/// Everything, up to a limit.
#[derive(Debug)]
pub(super) struct Whole {
    bytes: BytesMut,
    limit: usize,
}

/// More than the limit came.
#[derive(Debug)]
pub(super) struct Overflow;

impl Whole {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), limit }
    }

    /// Reads to the end.
    pub(super) async fn read(
        &mut self,
        from: Option<impl AsyncRead + Unpin>,
        mut cut: Cut,
    ) -> Result<(), Overflow> {
        let Some(mut from) = from else { return Ok(()) };
        while read_some(&mut from, &mut self.bytes, &mut cut).await.is_some() {
            if self.bytes.len() > self.limit {
                return Err(Overflow);
            }
        }
        Ok(())
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// The end.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: BytesMut,
    limit: usize,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), limit }
    }

    /// Reads to the end.
    pub(super) async fn read(&mut self, from: Option<impl AsyncRead + Unpin>, mut cut: Cut) {
        let Some(mut from) = from else { return };
        while read_some(&mut from, &mut self.bytes, &mut cut).await.is_some() {
            if self.bytes.len() > 2 * self.limit {
                self.shorten();
            }
        }
    }

    /// Adds what was read elsewhere.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * self.limit {
            self.shorten();
        }
    }

    /// Everything so far, which is forgotten.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::replace(self, Self::new(self.limit)).into_bytes()
    }

    fn shorten(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.advance(surplus);
    }

    pub(super) fn into_bytes(mut self) -> Bytes {
        self.shorten();
        Bytes::copy_from_slice(self.bytes.trim_ascii_end())
    }
}

/// Writes a payload. A command need not read it.
pub(super) async fn feed(to: Option<impl tokio::io::AsyncWrite + Unpin>, payload: Bytes) {
    use tokio::io::AsyncWriteExt;
    let Some(mut to) = to else { return };
    let fed: io::Result<()> = async {
        to.write_all(&payload).await?;
        to.shutdown().await
    }
    .await;
    if let Err(error) = fed {
        tracing::trace!(%error, "a command did not read its payload");
    }
}
