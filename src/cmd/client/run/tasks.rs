//! Reads all tasks of a run before anything is submitted.

use crate::config::Tasks;
use conveyor_client::payload::Codec;
use conveyor_client::run::{RunTask, read_tasks};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;
use tokio::sync::oneshot;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// All of them. May be dropped: then a command is killed, with all it has started.
///
/// # Errors
/// They cannot be read, one of them is none, or two have the same id: says where.
pub(super) async fn read(from: &Tasks, codec: Codec) -> Result<Vec<RunTask>, String> {
    let tasks = match from {
        Tasks::Stdin => {
            parse(io::BufReader::with_capacity(CHUNK, io::stdin()), "standard input", codec).await?
        }
        Tasks::File(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
            parse(BufReader::with_capacity(CHUNK, file), &name, codec).await?
        }
        Tasks::Command { shell, directory } => command(shell, directory, codec).await?,
        Tasks::Given(given) => {
            let lines: Vec<String> = given.iter().map(ToString::to_string).collect();
            let name = "the list of tasks in the configuration";
            parse(io::Cursor::new(lines.join("\n")), name, codec).await?
        }
    };
    if tasks.is_empty() {
        return Err("there are no tasks: nothing to run".to_owned());
    }
    Ok(tasks)
}

/// Reads on a thread of its own: input may be long in coming.
async fn parse(
    input: impl BufRead + Send + 'static,
    name: &str,
    codec: Codec,
) -> Result<Vec<RunTask>, String> {
    let (sender, read) = oneshot::channel();
    // It ends with its input, or with the process.
    let spawned = std::thread::Builder::new().name("tasks".to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(read_tasks(input, codec));
    });
    spawned.map_err(|error| format!("cannot start a thread: {error}"))?;
    match read.await {
        Ok(read) => read.map_err(|error| format!("{name}: {error}")),
        Err(_) => Err(format!("{name}: reading it has failed")),
    }
}

async fn command(shell: &str, directory: &Path, codec: Codec) -> Result<Vec<RunTask>, String> {
    let failed = |error: io::Error| format!("cannot run the command of the tasks: {error}");
    let (output, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new("sh");
    // Descriptor 3 may be the lock of a scheduled run, which must not outlive it in somebody else's hands.
    command.arg("-c").arg(format!("exec 3>&-\n{shell}")).stdin(Stdio::null()).stdout(writer);
    command.process_group(0).kill_on_drop(true);
    if !directory.as_os_str().is_empty() {
        command.current_dir(directory);
    }
    let mut child = command.spawn().map_err(failed)?;
    let group = Group(child.id());
    // It holds the other end of the pipe.
    drop(command);
    let name = "the output of the command of the tasks";
    let tasks = parse(BufReader::with_capacity(CHUNK, output), name, codec).await;
    let status = child.wait().await.map_err(failed)?;
    group.let_be();
    if !status.success() {
        return Err(format!("the command of the tasks ended with {status}: nothing is submitted"));
    }
    tasks
}

/// The process group of a command, by the id of its leader. Killed when it is dropped before the command is over.
struct Group(Option<u32>);

impl Group {
    /// The command has ended by itself; what it left behind is meant to stay.
    fn let_be(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its leader was not waited for, so the id is still its own.
        if let Some(group) = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
