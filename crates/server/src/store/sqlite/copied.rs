//! Copies of a damaged queue: what repairs need to change they change there.

use super::pages::PAGE;
use super::{StoreError, explain, schema};
use crate::store::Flush;
use rusqlite::Connection;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where the first page says how many there are.
const PAGES_FIELD: std::ops::Range<usize> = 28..32;

/// A copy of a damaged queue, gone with this.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) path: PathBuf,
}

impl Copied {
    /// The tables of every queue begin at the same pages: the first page of an empty one fits.
    pub(super) fn with_a_fresh_first_page(damaged: &Path, beside: &Path) -> Result<Self, StoreError> {
        let failed = |source: io::Error| StoreError::Directory { path: beside.to_owned(), source };
        let layout = Self { path: with_suffix(beside, ".layout") };
        let explain = |error| explain(&layout.path, "make a new queue", &error);
        let fresh = Connection::open(&layout.path).map_err(explain)?;
        schema::prepare(&fresh, &layout.path, Flush::Never)?;
        fresh.close().map_err(|(_, error)| explain(error))?;
        let mut page = [0; PAGE];
        File::open(&layout.path).and_then(|mut file| file.read_exact(&mut page)).map_err(failed)?;
        // How many pages there are is what the file has.
        if let Some(pages) = page.get_mut(PAGES_FIELD) {
            pages.fill(0);
        }
        let copy = Self::of(damaged, beside).map_err(failed)?;
        let mut file = File::options().write(true).open(&copy.path).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&page)).map_err(failed)?;
        Ok(copy)
    }

    /// A copy with all that is in the log.
    pub(super) fn with_its_log(damaged: &Path, beside: &Path) -> Result<Self, StoreError> {
        let failed = |source: io::Error| StoreError::Directory { path: beside.to_owned(), source };
        let copy = Self::of(damaged, beside).map_err(failed)?;
        let written = Connection::open(&copy.path).and_then(|connection| {
            connection.pragma_update(None, "writable_schema", true)?;
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        });
        // What cannot be written back is not in the pages: others are.
        if let Err(error) = written {
            tracing::debug!(%error, "the log of the damaged queue cannot be written back");
        }
        Ok(copy)
    }

    fn of(damaged: &Path, beside: &Path) -> io::Result<Self> {
        let copy = Self { path: with_suffix(beside, ".reading") };
        fs::copy(damaged, &copy.path)?;
        let log = with_suffix(damaged, "-wal");
        if log.exists() {
            fs::copy(&log, with_suffix(&copy.path, "-wal"))?;
        }
        Ok(copy)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // Some of them are not there.
            let _ = fs::remove_file(with_suffix(&self.path, suffix));
        }
    }
}

/// A path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
