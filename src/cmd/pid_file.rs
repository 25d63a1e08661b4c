//! The file that says which process this is: for server, worker and client alike.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file with the process id; gone when the process ends in order.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it, over whatever plain file is there.
    ///
    /// # Errors
    /// It cannot be written, in words for the operator.
    pub(crate) fn write(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot write the pid file {}: {error}", path.display());
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(format!("the pid file {} is not a plain file: choose another", path.display()));
            }
            Ok(_) => fs::remove_file(path).map_err(failed)?,
            Err(_) => {}
        }
        fs::write(path, format!("{}\n", std::process::id())).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = fs::remove_file(&self.0);
    }
}
