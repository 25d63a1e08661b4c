//! GearmanManager's ini files: what was written in one, and the groups of performers that follow.
//!
//! One section `[GearmanManager]` is about all, one section a function about that function. `count` processes do every
//! function; for each function processes that do nothing else are added until it has enough:
//!
//! - at least as many as its own `count` (or 1), and as the `count` of all;
//! - and, with a `dedicated_count` of its own or of all, that many more than the `count` of all;
//! - with `dedicated_only` exactly its `dedicated_count`, and the processes for everything leave it out.

use super::group::Group;
use configparser::ini::{Ini, IniDefault};
use std::collections::BTreeMap;
use std::fmt;

/// The section about all functions.
const GLOBAL: &str = "GearmanManager";

/// Keys of that section.
const GLOBAL_KEYS: [&str; 17] = [
    "worker_dir",
    "include",
    "exclude",
    "count",
    "dedicated_count",
    "max_worker_lifetime",
    "worker_restart_splay",
    "max_runs_per_worker",
    "worker_initial_spawn_splay",
    "graceful_shutdown_wait_time",
    "timeout",
    "host",
    "prefix",
    "auto_update",
    "log_file",
    "pid_file",
    "user",
];

/// Keys of a function's section.
const FUNCTION_KEYS: [&str; 5] = ["count", "dedicated_count", "dedicated_only", "timeout", "priority"];

/// The largest number of processes that one setting may ask for.
const MOST: u32 = 10_000;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Job servers, `host:port`, from `host` (one, 127.0.0.1:4730).
    pub servers: Vec<String>,
    /// Where functions are looked for, from `worker_dir`.
    pub directories: Vec<String>,
    /// What the names of PHP functions and classes begin with, from `prefix`.
    pub prefix: String,
    /// Whether processes are replaced when a file of theirs changes, from `auto_update` (no).
    pub auto_update: bool,
    /// From `log_file`.
    pub log_file: Option<String>,
    /// From `pid_file`.
    pub pid_file: Option<String>,
    /// From `user`.
    pub user: Option<String>,
    /// How long a process may take to end, in milliseconds, from `graceful_shutdown_wait_time` (60 s).
    pub grace_ms: u64,
    /// How long a process is kept, in milliseconds, from `max_worker_lifetime` (3600 s); none for ever, 0 in the file.
    pub lifetime_ms: Option<u64>,
    /// Up to so much longer, in milliseconds, from `worker_restart_splay` (600 s).
    pub splay_ms: u64,
    /// Jobs after which a process is replaced, from `max_runs_per_worker` (none).
    pub most_jobs: Option<u32>,
    /// Time between two starts, in milliseconds, from `worker_initial_spawn_splay`, which is in microseconds (500 ms).
    pub start_every_ms: u64,
    /// Processes by what they do: first those for everything, then those for one function, by name.
    pub crews: Vec<Crew>,
    /// What was passed over, or is not as it may look, in words.
    pub notes: Vec<String>,
}

/// Processes that do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crew {
    /// `all`, or the function.
    pub name: String,
    /// How many.
    pub count: u32,
    /// What they do, in the order in which it is to be registered.
    pub functions: Vec<Function>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Time for a job, in seconds; none without limit.
    pub timeout_s: Option<u32>,
    /// From -5 to 5, the highest is registered first (0).
    pub priority: i32,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl Config {
    /// Reads a file. `found` are the functions that there are in the directories the file names, see
    /// [`directories`].
    ///
    /// # Errors
    ///
    /// What is not in the format of ini files, or is no number where one is needed, in words.
    pub fn read(text: &str, found: &[&str]) -> Result<Self, Wrong> {
        let mut sections = parse(text)?;
        let mut notes = Vec::new();
        let global = sections.remove(GLOBAL).unwrap_or_default();
        let global = Section { name: GLOBAL, values: &global };
        global.note_unknown(&GLOBAL_KEYS, &mut notes);
        if let Some(values) = sections.remove("") {
            let keys: Vec<&str> = values.keys().map(String::as_str).collect();
            notes.push(format!("{} before the first section: move it into [{GLOBAL}]", keys.join(", ")));
        }
        let names = chosen(&global, found, &mut notes);
        for name in sections.keys().filter(|name| !names.contains(&name.as_str())) {
            notes.push(format!("[{name}] is about no function that is found and included"));
        }
        let crews = crews(&global, &sections, &names, &mut notes)?;
        if crews.is_empty() {
            notes.push("nothing is to be started: see include, exclude and worker_dir".to_owned());
        }
        let some = |number: u64| (number > 0).then_some(number);
        let servers = match global.list("host") {
            list if list.is_empty() => vec!["127.0.0.1:4730".to_owned()],
            list => list,
        };
        Ok(Self {
            servers,
            directories: global.list("worker_dir"),
            prefix: global.text("prefix").unwrap_or_default().to_owned(),
            auto_update: global.flag("auto_update")?,
            log_file: global.text("log_file").map(str::to_owned),
            pid_file: global.text("pid_file").map(str::to_owned),
            user: global.text("user").map(str::to_owned),
            grace_ms: global.seconds("graceful_shutdown_wait_time", 60)?,
            lifetime_ms: some(global.seconds("max_worker_lifetime", 3600)?),
            splay_ms: global.seconds("worker_restart_splay", 600)?,
            most_jobs: global.number("max_runs_per_worker")?.filter(|most| *most > 0),
            start_every_ms: u64::from(global.number("worker_initial_spawn_splay")?.unwrap_or(500_000)) / 1000,
            crews,
            notes,
        })
    }

    /// Processes in all.
    #[must_use]
    pub fn processes(&self) -> u32 {
        self.crews.iter().map(|crew| crew.count).fold(0, u32::saturating_add)
    }

    /// Groups for a manager; `command` says what is started for a crew.
    pub fn groups(&self, command: impl Fn(&Crew) -> Vec<String>) -> Vec<Group> {
        let group = |crew: &Crew| Group {
            functions: crew.functions.iter().map(|function| function.name.clone()).collect(),
            grace_ms: self.grace_ms,
            lifetime_ms: self.lifetime_ms,
            splay_ms: self.splay_ms,
            most_jobs: self.most_jobs,
            ..Group::new(crew.name.clone(), command(crew)).count(crew.count)
        };
        self.crews.iter().map(group).collect()
    }
}

/// Directories in which a file wants functions to be looked for.
///
/// # Errors
///
/// As [`Config::read`].
pub fn directories(text: &str) -> Result<Vec<String>, Wrong> {
    let sections = parse(text)?;
    let Some(values) = sections.get(GLOBAL) else { return Ok(Vec::new()) };
    Ok(Section { name: GLOBAL, values }.list("worker_dir"))
}

type Values = BTreeMap<String, String>;

/// Sections by name; what stands before the first one has the name "".
fn parse(text: &str) -> Result<BTreeMap<String, Values>, Wrong> {
    let mut format = IniDefault::default();
    format.default_section = String::new();
    format.case_sensitive = true;
    format.delimiters = vec!['='];
    format.comment_symbols = vec![';', '#'];
    format.inline_comment_symbols = Some(vec![';']);
    let sections = Ini::new_from_defaults(format).read(text.to_owned()).map_err(Wrong)?;
    let plain = |values: std::collections::HashMap<String, Option<String>>| -> Values {
        values.into_iter().map(|(key, value)| (key, unquoted(&value.unwrap_or_default()))).collect()
    };
    Ok(sections.into_iter().map(|(name, values)| (name, plain(values))).collect())
}

fn unquoted(value: &str) -> String {
    let inner = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(value).to_owned()
}

/// Functions that are to be done, by name.
fn chosen<'a>(global: &Section<'_>, found: &[&'a str], notes: &mut Vec<String>) -> Vec<&'a str> {
    let (include, exclude) = (global.list("include"), global.list("exclude"));
    let all = include.is_empty() || include.iter().any(|name| name == "*");
    for name in include.iter().filter(|name| *name != "*" && !found.contains(&name.as_str())) {
        notes.push(format!("include names {name}, which is in no worker_dir"));
    }
    let is_in = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
    let mut names: Vec<&str> = found
        .iter()
        .copied()
        .filter(|name| (all || is_in(&include, name)) && !is_in(&exclude, name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn crews(
    global: &Section<'_>,
    sections: &BTreeMap<String, Values>,
    names: &[&str],
    notes: &mut Vec<String>,
) -> Result<Vec<Crew>, Wrong> {
    let for_all = global.count("count")?.unwrap_or(0);
    let none = Values::new();
    let (mut everything, mut crews) = (Vec::new(), Vec::new());
    for name in names {
        let section = Section { name, values: sections.get(*name).unwrap_or(&none) };
        section.note_unknown(&FUNCTION_KEYS, notes);
        let timeout_s = section.number("timeout")?.or(global.number("timeout")?).filter(|limit| *limit > 0);
        let function = Function { name: (*name).to_owned(), timeout_s, priority: section.priority()? };
        let dedicated = section.count("dedicated_count")?.or(global.count("dedicated_count")?);
        let count = if section.flag("dedicated_only")? {
            dedicated.unwrap_or(1)
        } else {
            everything.push(function.clone());
            let least = section.count("count")?.unwrap_or(1).max(for_all);
            let total = dedicated.map_or(least, |more| for_all.saturating_add(more)).max(least);
            total - for_all
        };
        if count > 0 {
            crews.push(Crew { name: (*name).to_owned(), count, functions: vec![function] });
        }
    }
    everything.sort_by_key(|function| std::cmp::Reverse(function.priority));
    if for_all > 0 && !everything.is_empty() {
        crews.insert(0, Crew { name: "all".to_owned(), count: for_all, functions: everything });
    }
    Ok(crews)
}

/// One section.
struct Section<'a> {
    name: &'a str,
    values: &'a Values,
}

impl Section<'_> {
    fn note_unknown(&self, known: &[&str], notes: &mut Vec<String>) {
        for key in self.values.keys().filter(|key| !known.contains(&key.as_str())) {
            notes.push(format!("[{}] {key} is not known here and passed over", self.name));
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn list(&self, key: &str) -> Vec<String> {
        let parts = self.text(key).unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn wrong(&self, key: &str, value: &str, wanted: &str) -> Wrong {
        Wrong(format!("[{}] {key} = {value}: {wanted}", self.name))
    }

    fn number(&self, key: &str) -> Result<Option<u32>, Wrong> {
        let Some(value) = self.text(key) else { return Ok(None) };
        let number = value.parse().map_err(|_| self.wrong(key, value, "write a whole number"))?;
        Ok(Some(number))
    }

    /// A number of processes.
    fn count(&self, key: &str) -> Result<Option<u32>, Wrong> {
        match self.number(key)? {
            Some(count) if count > MOST => {
                Err(self.wrong(key, &count.to_string(), &format!("{MOST} processes at most")))
            }
            count => Ok(count),
        }
    }

    fn seconds(&self, key: &str, default: u32) -> Result<u64, Wrong> {
        Ok(u64::from(self.number(key)?.unwrap_or(default)) * 1000)
    }

    fn flag(&self, key: &str) -> Result<bool, Wrong> {
        match self.text(key).map(str::to_ascii_lowercase).as_deref() {
            None | Some("0" | "off" | "no" | "false" | "none") => Ok(false),
            Some("1" | "on" | "yes" | "true") => Ok(true),
            Some(value) => Err(self.wrong(key, value, "write 1 or 0")),
        }
    }

    fn priority(&self) -> Result<i32, Wrong> {
        let Some(value) = self.text("priority") else { return Ok(0) };
        let number = value.parse().ok().filter(|priority| (-5..=5).contains(priority));
        number.ok_or_else(|| self.wrong("priority", value, "write a number from -5 to 5"))
    }
}
