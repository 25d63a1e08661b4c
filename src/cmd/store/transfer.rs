//! `export` and `import`: a queue as lines of JSON.

use super::Failure;
use super::json::{Line, Said};
use super::look::go_on;
use conveyor_server::store::sqlite::{self, Filter, Inspector};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes that are written at once.
const BUFFER: usize = 256 * 1024;

/// Jobs between two looks at the progress bar.
const STRIDE: u64 = 256;

/// Options of `export`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conveyor store export --output queue.jsonl\n  conveyor store export | gzip > queue.jsonl.gz"
)]
pub(super) struct Export {
    /// File to write; it must not be there (default: standard output)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conveyor store import queue.jsonl --dry-run\n  zcat queue.jsonl.gz | conveyor store import -"
)]
pub(super) struct Import {
    /// What `export` wrote; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only say whether it would go well
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn export(directory: &Path, args: &Export) -> Result<ExitCode, Failure> {
    let inspector = Inspector::open(directory)?;
    let Some(path) = &args.output else {
        write_all(&inspector, io::stdout().lock(), &ProgressBar::hidden())?;
        return Ok(ExitCode::SUCCESS);
    };
    let created = create(path).map_err(|error| format!("cannot write to {}: {error}", path.display()))?;
    let bar = bar(inspector.count()?);
    let written = write_all(&inspector, &created, &bar).and_then(|count| {
        created.sync_all().map_err(|error| format!("cannot write to {}: {error}", path.display()))?;
        Ok(count)
    });
    bar.finish_and_clear();
    match written {
        Ok(count) => eprintln!("conveyor store: {count} jobs are in {}", path.display()),
        Err(error) => {
            // Half a backup must not look like one.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Payloads are nobody else's business.
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn bar(jobs: u64) -> ProgressBar {
    // Draws nothing where standard error is no terminal.
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} jobs {eta}");
    ProgressBar::new(jobs).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write_all(inspector: &Inspector, out: impl Write, bar: &ProgressBar) -> Result<u64, Failure> {
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let mut write = |line: &Line| {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    };
    write(&Line::head(&inspector.head()?))?;
    for (name, limits) in inspector.limits()? {
        write(&Line::limits(&name, &limits))?;
    }
    let mut count = 0;
    let mut written = Ok(());
    inspector.jobs(&Filter::default(), true, |job| {
        count += 1;
        if count % STRIDE == 0 {
            bar.set_position(count);
        }
        go_on(&mut written, write(&Line::job(&job)))
    })?;
    written?;
    out.flush()?;
    Ok(count)
}

pub(super) fn import(directory: &Path, args: &Import) -> Result<ExitCode, Failure> {
    let named = |error: io::Error| format!("cannot read {}: {error}", args.file.display());
    let reading: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).map_err(named)?)
    };
    let mut lines = BufReader::with_capacity(BUFFER, reading);
    let mut import = sqlite::Import::begin(directory, args.dry_run)?;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(named)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        take(&mut import, &line).map_err(|error| {
            format!("line {number} of {}: {error}\nNothing was imported.", args.file.display())
        })?;
    }
    let count = import.finish().map_err(|error| format!("{error}\nNothing was imported."))?;
    if args.dry_run {
        println!("{count} jobs can be imported into {}; this was a dry run", directory.display());
    } else {
        println!("{count} jobs are now in {}", directory.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn take(import: &mut sqlite::Import, line: &[u8]) -> Result<(), String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    match line.said()? {
        Said::Head(head) => import.reserve(&head),
        Said::Limits(name, limits) => import.limit(&name, limits).map_err(|error| error.to_string())?,
        Said::Job(job) => import.add(&job).map_err(|error| error.to_string())?,
    }
    Ok(())
}
