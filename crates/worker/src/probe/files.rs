//! Small files of the kernel, below a root that tests choose.

use std::fs::{File, read_dir};
use std::io::{self, Read};
use std::path::Path;

/// Most that is read of a file, in bytes.
const MOST: u64 = 1 << 20;

/// Reads files below a root.
#[derive(Debug)]
pub(super) struct Files {
    /// Without a `/` at its end.
    root: String,
    buffer: Vec<u8>,
}

impl Files {
    pub(super) fn below(root: &Path) -> Self {
        let root = root.to_string_lossy().trim_end_matches('/').to_owned();
        Self { root, buffer: Vec::with_capacity(16 << 10) }
    }

    /// What is in the file at `path`, which begins with `/`.
    pub(super) fn bytes(&mut self, path: &str) -> io::Result<&[u8]> {
        self.buffer.clear();
        File::open(format!("{}{path}", self.root))?.take(MOST).read_to_end(&mut self.buffer)?;
        Ok(&self.buffer)
    }

    /// The same as text.
    pub(super) fn text(&mut self, path: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(self.bytes(path)?).into_owned())
    }

    /// Ids of all processes.
    pub(super) fn processes(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in read_dir(format!("{}/proc", self.root))? {
            let name = entry?.file_name();
            pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(pids)
    }
}
