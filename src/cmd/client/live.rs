//! What a person at a terminal sees while jobs are done: one bar for all, and the progress of some that run.

use super::args::{Progress, Submit};
use super::output::{Ending, Text};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Running jobs whose progress is shown.
const LINES: usize = 8;

/// How often a bar moves by itself.
const TICK: Duration = Duration::from_millis(250);

/// The view, or what stands in for it where there is none.
#[derive(Debug)]
pub(super) struct Live {
    /// Nobody looks without it.
    bars: Option<Bars>,
    /// Results go where the view is.
    results_on_terminal: bool,
    forced: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    jobs: ProgressBar,
}

#[derive(Debug, Default)]
struct State {
    shown: bool,
    /// The last result did not end its line.
    within_line: bool,
    submitted: u64,
    failed: u64,
    ended: u64,
    /// The bars of running jobs, by number.
    lines: BTreeMap<u64, ProgressBar>,
}

impl Live {
    /// A view, if the options and the terminal want one; [`Live::show`] makes it visible.
    pub(super) fn new(args: &Submit) -> Self {
        let terminal = io::stderr().is_terminal();
        let wanted = match args.progress {
            Progress::Always => true,
            Progress::Never => false,
            Progress::Auto => terminal && !args.json && !args.quiet,
        };
        let bars = wanted.then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
            let jobs = all.add(ProgressBar::no_length());
            jobs.set_style(style("{spinner} {pos} jobs, {msg}, {per_sec}, {elapsed}"));
            Bars { all, jobs }
        });
        let results_on_terminal = io::stdout().is_terminal();
        Self { bars, results_on_terminal, forced: !terminal, state: Mutex::default() }
    }

    /// Whether there is a view, visible yet or not.
    pub(super) const fn is_wanted(&self) -> bool {
        self.bars.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows it from now on.
    pub(super) fn show(&self) {
        let Some(bars) = &self.bars else { return };
        {
            let mut state = self.state();
            if std::mem::replace(&mut state.shown, true) {
                return;
            }
            self.end_line(&mut state);
        }
        bars.all.set_draw_target(if self.forced {
            ProgressDrawTarget::term_like(Box::new(Plain))
        } else {
            ProgressDrawTarget::stderr()
        });
        bars.jobs.enable_steady_tick(TICK);
        // What was said before nobody has drawn.
        let lines: Vec<ProgressBar> = self.state().lines.values().cloned().collect();
        lines.iter().for_each(ProgressBar::tick);
    }

    /// So many jobs there will be.
    pub(super) fn total(&self, jobs: u64) {
        if let Some(Bars { jobs: bar, .. }) = &self.bars {
            bar.set_length(jobs);
            bar.set_style(style("{bar:25} {pos}/{len} jobs, {msg}, {per_sec}, {eta} left"));
        }
    }

    /// A job is submitted.
    pub(super) fn submitted(&self) {
        self.state().submitted += 1;
        self.refresh();
    }

    /// A job has ended.
    pub(super) fn ended(&self, number: u64, ending: Ending) {
        let Some(bars) = &self.bars else { return };
        let line = {
            let mut state = self.state();
            state.ended += 1;
            state.failed += u64::from(ending != Ending::Done);
            state.lines.remove(&number)
        };
        if let Some(line) = line {
            line.finish_and_clear();
            bars.all.remove(&line);
        }
        bars.jobs.inc(1);
        self.refresh();
    }

    fn refresh(&self) {
        let Some(bars) = &self.bars else { return };
        let state = self.state();
        let running = state.submitted.saturating_sub(state.ended);
        let message = format!("{} failed, {running} running", state.failed);
        drop(state);
        bars.jobs.set_message(message);
    }

    /// A job says how far it is. The first ones that do have a line each until they end.
    pub(super) fn status(&self, number: u64, function: &str, numerator: u64, denominator: u64) {
        let Some(bars) = &self.bars else { return };
        if denominator == 0 {
            return;
        }
        let mut state = self.state();
        if state.lines.len() >= LINES && !state.lines.contains_key(&number) {
            return;
        }
        let line = state.lines.entry(number).or_insert_with(|| {
            let line = bars.all.add(ProgressBar::new(denominator));
            line.set_style(style("  {prefix}: {bar:20} {percent}% ({pos}/{len})"));
            // Whatever moves a cursor is shown, not done.
            line.set_prefix(format!("job {number} of {}", function.escape_debug()));
            line
        });
        let line = line.clone();
        drop(state);
        line.set_length(denominator);
        line.set_position(numerator);
    }

    /// Writes a piece without damage to the view or by it.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(super) fn write(&self, text: Text) -> io::Result<()> {
        let Some(bars) = &self.bars else { return text.write() };
        let result = matches!(text, Text::Out(_));
        if result && !self.results_on_terminal {
            return text.write();
        }
        let mut state = self.state();
        let shown = state.shown;
        match &text {
            Text::Out(bytes) => {
                state.within_line = bytes.last().map_or(state.within_line, |last| *last != b'\n')
            }
            Text::Err(_) => state.within_line = false,
        }
        drop(state);
        if !shown {
            return text.write();
        }
        bars.all.suspend(|| {
            text.write()?;
            // A bar would be drawn behind it, and wipe it out.
            self.end_line(&mut self.state());
            Ok(())
        })
    }

    fn end_line(&self, state: &mut State) {
        if std::mem::take(&mut state.within_line) && self.results_on_terminal {
            let mut out = io::stdout().lock();
            // Results say whether standard output can be written.
            let _ = out.write_all(b"\n").and_then(|()| out.flush());
        }
    }

    /// Takes it away.
    pub(super) fn finish(&self) {
        let Some(bars) = &self.bars else { return };
        let lines = std::mem::take(&mut self.state().lines);
        for line in lines.into_values() {
            line.finish_and_clear();
        }
        bars.jobs.finish_and_clear();
        // A summary may follow.
        self.end_line(&mut self.state());
    }
}

/// A template of ours, which the tests draw.
pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error taken for a terminal because somebody says so.
#[derive(Debug)]
struct Plain;

impl Plain {
    fn cursor(times: usize, letter: char) -> io::Result<()> {
        if times == 0 { Ok(()) } else { write!(io::stderr(), "\x1b[{times}{letter}") }
    }
}

impl TermLike for Plain {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        Self::cursor(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        Self::cursor(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        Self::cursor(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        Self::cursor(columns, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{text}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        write!(io::stderr(), "\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
