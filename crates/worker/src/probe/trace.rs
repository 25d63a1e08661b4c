//! Traces: what was measured, as lines of a file, to be looked at and played again. The format is in docs/manager.md.

use super::{Probe, ProbeError, Watched};
use crate::manager::load::{Pressure, Process, Snapshot};
use conveyor_common::Millis;
use std::io::{self, BufRead, Read, Write};

/// How the first line of a trace begins; behind it is the number of processors.
const HEADER: &str = "# conveyor trace 1, cores ";

/// The second line, for people and for spreadsheets.
const COLUMNS: &str = "time_ms,free_kib,idle_percent,memory_full,cpu_some,performers,own";

/// Longest line, in bytes.
const MOST: u64 = 1 << 20;

/// Writes down what another probe measures.
#[derive(Debug)]
pub struct Recorder<P, W> {
    probe: P,
    output: W,
}

impl<P: Probe, W: Write> Recorder<P, W> {
    /// Writes to `output`, the head of the trace at once, and a line a measurement.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut probe: P, mut output: W) -> Result<Self, ProbeError> {
        let cores = probe.cores();
        writeln!(output, "{HEADER}{cores}\n{COLUMNS}").map_err(ProbeError::Trace)?;
        Ok(Self { probe, output })
    }

    /// The probe that measures.
    pub const fn probe(&self) -> &P {
        &self.probe
    }
}

impl<P: Probe, W: Write> Probe for Recorder<P, W> {
    fn measure(&mut self, now: Millis, performers: &[Watched], own: &[u32]) -> Result<Snapshot, ProbeError> {
        let snapshot = self.probe.measure(now, performers, own)?;
        let line = line(now, &snapshot);
        self.output
            .write_all(line.as_bytes())
            .and_then(|()| self.output.flush())
            .map_err(ProbeError::Trace)?;
        Ok(snapshot)
    }

    fn cores(&mut self) -> f64 {
        self.probe.cores()
    }
}

fn line(now: Millis, snapshot: &Snapshot) -> String {
    let processes = |list: &[Process]| {
        let cells: Vec<String> = list
            .iter()
            .map(|one| format!("{}:{}:{}:{}", one.pid, one.kind, one.resident_kib, one.cpu_percent))
            .collect();
        cells.join(";")
    };
    let stalls = snapshot
        .pressure
        .map_or(",".to_owned(), |pressure| format!("{},{}", pressure.memory_full, pressure.cpu_some));
    let (free, idle) = (snapshot.free_kib, snapshot.idle_percent);
    format!(
        "{},{free},{idle},{stalls},{},{}\n",
        now.0,
        processes(&snapshot.performers),
        processes(&snapshot.own)
    )
}

/// Plays a trace: each measurement is its next line, whatever is asked for.
#[derive(Debug)]
pub struct Trace<R> {
    input: R,
    cores: f64,
    /// Lines read so far.
    lines: u64,
    at: Millis,
}

impl<R: BufRead> Trace<R> {
    /// Reads the head of a trace.
    ///
    /// # Errors
    /// It is no trace, or one of another version, or cannot be read.
    pub fn new(input: R) -> Result<Self, ProbeError> {
        let mut trace = Self { input, cores: 1.0, lines: 0, at: Millis::default() };
        let first = trace.line()?.unwrap_or_default();
        let reason = "the first line of a trace is `# conveyor trace 1, cores N`";
        let wrong = ProbeError::Line { number: 1, reason };
        trace.cores = first
            .trim_end()
            .strip_prefix(HEADER)
            .and_then(number)
            .filter(|cores| *cores > 0.0)
            .ok_or(wrong)?;
        Ok(trace)
    }

    /// The next measurement and its time; none at the end.
    ///
    /// # Errors
    /// The next line makes no sense, or cannot be read.
    pub fn read(&mut self) -> Result<Option<(Millis, Snapshot)>, ProbeError> {
        while let Some(line) = self.line()? {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line == COLUMNS {
                continue;
            }
            let wrong = |reason| ProbeError::Line { number: self.lines, reason };
            let (time, snapshot) = measurement(line).map_err(wrong)?;
            if time < self.at {
                return Err(wrong("its time is before that of the line above"));
            }
            self.at = time;
            return Ok(Some((time, snapshot)));
        }
        Ok(None)
    }

    fn line(&mut self) -> Result<Option<String>, ProbeError> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(MOST).read_until(b'\n', &mut bytes).map_err(ProbeError::Trace)?;
        self.lines += 1;
        if read as u64 == MOST {
            return Err(ProbeError::Line { number: self.lines, reason: "it is longer than a mebibyte" });
        }
        let no_text = |_| {
            ProbeError::Trace(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {} is no text", self.lines),
            ))
        };
        Ok((read > 0).then_some(String::from_utf8(bytes).map_err(no_text)?))
    }
}

impl<R: BufRead> Probe for Trace<R> {
    fn measure(
        &mut self,
        _now: Millis,
        _performers: &[Watched],
        _own: &[u32],
    ) -> Result<Snapshot, ProbeError> {
        self.read()?.map(|(_, snapshot)| snapshot).ok_or(ProbeError::Ended)
    }

    fn cores(&mut self) -> f64 {
        self.cores
    }
}

fn measurement(line: &str) -> Result<(Millis, Snapshot), &'static str> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let (head, performers, own) = match cells.as_slice() {
        [head @ .., performers] if head.len() == 5 => (head, *performers, ""),
        [head @ .., performers, own] if head.len() == 5 => (head, *performers, *own),
        _ => return Err("it has not the 7 columns of a trace"),
    };
    let &[time, free, idle, memory_full, cpu_some] = head else {
        return Err("it has not the 7 columns of a trace");
    };
    let time = time.parse().map_err(|_| "time_ms is no whole number")?;
    let pressure = match (memory_full, cpu_some) {
        ("", "") => None,
        _ => Some(Pressure {
            memory_full: number(memory_full).ok_or("memory_full is no number from 0")?,
            cpu_some: number(cpu_some).ok_or("cpu_some is no number from 0")?,
        }),
    };
    let snapshot = Snapshot {
        free_kib: number(free).ok_or("free_kib is no number from 0")?,
        idle_percent: number(idle).ok_or("idle_percent is no number from 0")?,
        performers: processes(performers)
            .ok_or("write performers as pid:kind:resident_kib:cpu_percent;...")?,
        own: processes(own).ok_or("write own processes as pid:kind:resident_kib:cpu_percent;...")?,
        pressure,
    };
    Ok((Millis(time), snapshot))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

fn processes(cell: &str) -> Option<Vec<Process>> {
    let process = |text: &str| {
        let mut parts = text.trim().split(':');
        let (pid, kind) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (resident_kib, cpu_percent) = (number(parts.next()?)?, number(parts.next()?)?);
        parts.next().is_none().then_some(Process { pid, kind, resident_kib, cpu_percent })
    };
    cell.split(';').filter(|text| !text.trim().is_empty()).map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// A probe that measures what it is told.
    struct Told(Snapshot);

    impl Probe for Told {
        fn measure(&mut self, _: Millis, _: &[Watched], _: &[u32]) -> Result<Snapshot, ProbeError> {
            Ok(self.0.clone())
        }

        fn cores(&mut self) -> f64 {
            1.5
        }
    }

    fn process() -> impl Strategy<Value = Process> {
        (any::<u32>(), any::<u16>(), 0.0..1e12, 0.0..1e5).prop_map(
            |(pid, kind, resident_kib, cpu_percent)| Process { pid, kind, resident_kib, cpu_percent },
        )
    }

    fn snapshot() -> impl Strategy<Value = Snapshot> {
        let pressure = prop::option::of((0.0..100.0, 0.0..100.0));
        (0.0..1e12, 0.0..100.0, vec(process(), 0..5), vec(process(), 0..3), pressure).prop_map(
            |(free_kib, idle_percent, performers, own, pressure)| Snapshot {
                free_kib,
                idle_percent,
                performers,
                own,
                pressure: pressure.map(|(memory_full, cpu_some)| Pressure { memory_full, cpu_some }),
            },
        )
    }

    fn error(text: &str) -> String {
        let mut trace = match Trace::new(text.as_bytes()) {
            Ok(trace) => trace,
            Err(error) => return error.to_string(),
        };
        loop {
            match trace.read() {
                Ok(Some(_)) => {}
                Ok(None) => return String::new(),
                Err(error) => return error.to_string(),
            }
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_errors_with_their_number() {
        assert!(error("time_ms,free_kib\n").starts_with("line 1 of the trace: the first line"));
        assert!(error("# conveyor trace 2, cores 1\n").starts_with("line 1 "));
        assert!(error("# conveyor trace 1, cores 0\n").starts_with("line 1 "));
        for (line, reason) in [
            ("x,1,1,,,", "time_ms"),
            ("1,-1,1,,,", "free_kib"),
            ("1,1,nan,,,", "idle_percent"),
            ("1,1,1,inf,0,", "memory_full"),
            ("1,1,1,0,,", "cpu_some"),
            ("1,1,1,,,5:0:1", "performers"),
            ("1,1,1,,,5:0:1:1:1,", "performers"),
            ("1,1,1,,,,5:70000:1:1", "own"),
            ("1,1,1,,", "columns"),
            ("1,1,1,,,,,", "columns"),
            ("0,1,1,,,", "before"),
        ] {
            let text = format!("# conveyor trace 1, cores 2\n{COLUMNS}\n\n# a remark\n1,1,1,,,\n{line}\n");
            let error = error(&text);
            assert!(error.starts_with("line 6 of the trace: ") && error.contains(reason), "{line}: {error}");
        }
        assert_eq!(error("# conveyor trace 1, cores 2\n1,1,1,,,"), "");
    }

    #[test]
    fn a_line_that_never_ends_is_not_read_for_ever() {
        let text = format!("# conveyor trace 1, cores 2\n{}", "1".repeat(2 << 20));
        assert!(error(&text).contains("longer"), "{}", error(&text));
    }

    proptest! {
        #[test]
        fn what_was_recorded_is_read_back(snapshots in vec(snapshot(), 0..5)) {
            let mut file = Vec::new();
            let mut recorder = Recorder::new(Told(Snapshot::default()), &mut file).unwrap();
            for (time, snapshot) in (0..).zip(&snapshots) {
                recorder.probe.0 = snapshot.clone();
                recorder.measure(Millis(time * 1000), &[], &[]).unwrap();
            }
            drop(recorder);
            let mut trace = Trace::new(file.as_slice()).unwrap();
            assert_eq!(trace.cores(), 1.5);
            for (time, snapshot) in (0..).zip(snapshots) {
                assert_eq!(trace.read().unwrap(), Some((Millis(time * 1000), snapshot)));
            }
            assert!(matches!(trace.measure(Millis(0), &[], &[]), Err(ProbeError::Ended)));
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(garbage: Vec<u8>, cells in vec("[0-9:;.,e-]{0,9}", 5..9)) {
            let mut text = format!("# conveyor trace 1, cores 2\n{}\n", cells.join(",")).into_bytes();
            text.extend(garbage);
            let mut trace = Trace::new(text.as_slice()).unwrap();
            while let Ok(Some(_)) = trace.read() {}
        }
    }
}
