//! A made-up machine: the files of the kernel that a probe reads, in a directory.

use conveyor_worker::probe::Linux;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A made-up process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// CPU time, its own and that of children it waited for, in ticks.
    pub(crate) used: u64,
    pub(crate) waited: u64,
    pub(crate) start_time: u64,
    pub(crate) rss_pages: u64,
    /// None: it may not be read.
    pub(crate) pss_kib: Option<u64>,
}

/// A made-up machine.
pub(crate) struct Machine {
    directory: TempDir,
}

impl Machine {
    /// 8 GiB available on 4 processors that do nothing; no cgroups, no stalls, no process.
    pub(crate) fn new() -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        machine
            .write("/proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 100000 kB\nMemAvailable: 8388608 kB\n");
        machine.write("/proc/stat", "cpu  0 0 0 100 0 0 0 0 0 0\ncpu0 0 0 0 100 0 0 0 0 0 0\n");
        machine.write("/proc/self/status", "Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Files of a directory: `name content` each.
    pub(crate) fn write_all(&self, directory: &str, files: &[(&str, &str)]) {
        for (name, content) in files {
            self.write(&format!("{directory}/{name}"), content);
        }
    }

    pub(crate) fn process(&self, made: Made) {
        let Made { pid, parent, used, waited, start_time, rss_pages, .. } = made;
        let stat = format!(
            "{pid} (a) (b) S {parent} 1 1 0 -1 0 0 0 0 0 {used} 0 {waited} 0 20 0 1 0 {start_time} 1 {rss_pages} 0\n"
        );
        self.write(&format!("/proc/{pid}/stat"), stat);
        let rollup = format!("/proc/{pid}/smaps_rollup");
        match made.pss_kib {
            Some(kib) => {
                self.write(&rollup, format!("0-1 ---p 0 0:0 0 [rollup]\nRss: 9 kB\nPss:   {kib} kB\n"))
            }
            None => {
                let _ = fs::remove_file(self.path(&rollup));
            }
        }
    }

    /// A process ends.
    pub(crate) fn end(&self, pid: u32) {
        fs::remove_dir_all(self.path(&format!("/proc/{pid}"))).unwrap();
    }

    pub(crate) fn probe(&self) -> Linux {
        Linux::below(self.directory.path())
    }

    pub(crate) fn root(&self) -> &std::path::Path {
        self.directory.path()
    }
}
