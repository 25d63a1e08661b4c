//! Control groups, version 2 and 1, and hosts with both: what this process and its ancestors may have.

use super::Reading;
use super::files::Files;
use super::parse::{self, Mount};

/// Version 1 has no word for "no limit", but a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// Most ancestors that are looked at.
const DEPTH: usize = 64;

/// A group in a hierarchy, and where its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    version: u8,
    /// Its path below the mount, for people: `/` for the root.
    name: String,
    directory: String,
}

/// The groups that this process is in, by hierarchy, each with its ancestors: the innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    unified: Vec<Group>,
    memory: Vec<Group>,
    cpu: Vec<Group>,
}

/// Where groups are mounted.
pub(super) fn mounts(files: &mut Files) -> Vec<Mount> {
    let text = files.text("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(parse::mount).collect()
}

impl Groups {
    /// Those of this process now: it may be moved.
    pub(super) fn now(files: &mut Files, mounts: &[Mount]) -> Self {
        let text = files.text("/proc/self/cgroup").unwrap_or_default();
        let mut groups = Self::default();
        for (controllers, path) in text.lines().filter_map(parse::membership) {
            let names = |list: &str, name: &str| list.split(',').any(|one| one == name);
            if controllers.is_empty() {
                let mount = mounts.iter().find(|mount| mount.controllers.is_none());
                groups.unified = mount.map(|mount| ancestry(2, mount, path)).unwrap_or_default();
            }
            for (name, groups) in [("memory", &mut groups.memory), ("cpu", &mut groups.cpu)] {
                let with = |mount: &&Mount| mount.controllers.as_ref().is_some_and(|list| names(list, name));
                if names(controllers, name)
                    && let Some(mount) = mounts.iter().find(with)
                {
                    *groups = ancestry(1, mount, path);
                }
            }
        }
        groups
    }

    pub(super) fn are_none(&self) -> bool {
        self.unified.is_empty() && self.memory.is_empty() && self.cpu.is_empty()
    }

    /// Memory that each limit leaves, in KiB. File pages that nobody uses are there for the asking.
    pub(super) fn memory(&self, files: &mut Files) -> Vec<Reading> {
        let mut readings = Vec::new();
        for group in &self.unified {
            let limits = ["memory.max", "memory.high"].map(|file| (group.number(files, file), file));
            let tightest = limits.into_iter().filter_map(|(limit, file)| Some((limit?, file))).min();
            if let Some((limit, file)) = tightest {
                readings.extend(group.left(files, (limit, file), "memory.current", &["inactive_file "]));
            }
        }
        for group in &self.memory {
            let file = "memory.limit_in_bytes";
            let limit = group.number(files, file).filter(|limit| *limit < NO_LIMIT);
            if let Some(limit) = limit {
                let keys = ["total_inactive_file ", "inactive_file "];
                readings.extend(group.left(files, (limit, file), "memory.usage_in_bytes", &keys));
            }
        }
        readings
    }

    /// Processors that each quota leaves.
    pub(super) fn cores(&self, files: &mut Files) -> Vec<Reading> {
        let mut readings = Vec::new();
        for group in &self.unified {
            let text = files.text(&group.file("cpu.max")).unwrap_or_default();
            let mut words = text.split_ascii_whitespace().map(str::parse::<u64>);
            if let (Some(Ok(quota)), Some(Ok(period))) = (words.next(), words.next()) {
                readings.extend(group.share(quota, period, "cpu.max"));
            }
        }
        for group in &self.cpu {
            let quota = group.number(files, "cpu.cfs_quota_us");
            if let (Some(quota), Some(period)) = (quota, group.number(files, "cpu.cfs_period_us")) {
                readings.extend(group.share(quota, period, "cpu.cfs_quota_us"));
            }
        }
        readings
    }

    /// The file of stalls of the own group, and what it is called for people.
    pub(super) fn stalls(&self, file: &str) -> Option<(String, String)> {
        self.unified.first().map(|group| (group.file(file), group.source(file)))
    }
}

/// The group at `path` of a hierarchy and its ancestors, as far as the mount shows them.
fn ancestry(version: u8, mount: &Mount, path: &str) -> Vec<Group> {
    let root = mount.root.trim_end_matches('/');
    let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    // In a container with the host's view of paths only the mounted part is there. What is outside of the own namespace
    // begins with `/..`.
    let below = below.filter(|path| !path.split('/').any(|part| part == "..")).unwrap_or_default();
    let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).take(DEPTH).collect();
    (0..=parts.len())
        .rev()
        .map(|depth| {
            let name = format!("/{}", parts.get(..depth).unwrap_or_default().join("/"));
            let directory = format!("{}{}", mount.point.trim_end_matches('/'), name.trim_end_matches('/'));
            Group { version, name, directory }
        })
        .collect()
}

impl Group {
    fn file(&self, file: &str) -> String {
        format!("{}/{file}", self.directory)
    }

    fn source(&self, file: &str) -> String {
        format!("cgroup v{} {}: {file}", self.version, self.name)
    }

    fn number(&self, files: &mut Files, file: &str) -> Option<u64> {
        files.text(&self.file(file)).ok()?.trim().parse().ok()
    }

    fn left(
        &self,
        files: &mut Files,
        (limit, file): (u64, &str),
        used: &str,
        unused: &[&str],
    ) -> Option<Reading> {
        let used = self.number(files, used)?;
        let stat = files.text(&self.file("memory.stat")).unwrap_or_default();
        let unused = unused.iter().find_map(|key| parse::number(&stat, key)).unwrap_or(0);
        let left = limit.saturating_sub(used.saturating_sub(unused));
        Some(Reading { value: left as f64 / 1024.0, source: self.source(file) })
    }

    fn share(&self, quota: u64, period: u64, file: &str) -> Option<Reading> {
        let some = quota > 0 && period > 0;
        some.then(|| Reading { value: quota as f64 / period as f64, source: self.source(file) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &str, path: &str) -> Vec<String> {
        let mount = Mount { root: root.to_owned(), point: "/cg".to_owned(), controllers: None };
        ancestry(2, &mount, path).into_iter().map(|group| group.directory).collect()
    }

    #[test]
    fn the_innermost_group_comes_first_and_the_mount_last() {
        assert_eq!(names("/", "/a/b"), ["/cg/a/b", "/cg/a", "/cg"]);
        assert_eq!(names("/", "/"), ["/cg"]);
    }

    #[test]
    fn only_what_is_mounted_is_looked_at() {
        assert_eq!(names("/docker/x", "/docker/x/y"), ["/cg/y", "/cg"]);
        assert_eq!(names("/docker/x", "/docker/xy"), ["/cg"]);
        assert_eq!(names("/", "/../other"), ["/cg"]);
    }
}
