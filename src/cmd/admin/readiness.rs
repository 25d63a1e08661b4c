//! `conveyor admin readiness`: for whoever starts a server and what needs it.

use super::explain;
use conveyor_client::admin::{Admin, AdminError, Readiness};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks, again and again for as long as `wait`, and says what the answer is in the end.
pub(super) fn run(server: &str, timeout: Duration, json: bool, wait: Duration) -> ExitCode {
    let start = Instant::now();
    let answer = loop {
        let answer = Admin::connect(server, timeout).and_then(|mut admin| admin.readiness());
        let left = wait.saturating_sub(start.elapsed());
        // Time heals neither a store that failed nor a server that does not know the question.
        let may_change =
            matches!(answer, Ok(Readiness::Loading(_) | Readiness::Away(_)) | Err(AdminError::Io(_)));
        if !may_change || left.is_zero() {
            break answer;
        }
        std::thread::sleep(PAUSE.min(left));
    };
    let told = match answer {
        Ok(told) => told,
        Err(error) => {
            let hint = match error {
                AdminError::Refused(_) => {
                    "\nOnly conveyor answers this; gearmand is ready when it answers anything."
                }
                _ => "",
            };
            eprintln!("conveyor admin: {}{hint}", explain(server, &error));
            return ExitCode::FAILURE;
        }
    };
    let (state, read) = match &told {
        Readiness::Ready => ("ready", None),
        Readiness::Loading(read) => ("loading", Some(*read)),
        Readiness::Refusing(_) => ("refusing", None),
        Readiness::Away(_) => ("away", None),
    };
    match &told {
        _ if json => println!("{}", json!({ "state": state, "read": read })),
        Readiness::Ready => println!("ready"),
        Readiness::Loading(read) => println!("loading: {read} stored jobs are read so far"),
        Readiness::Away(line) => println!("{line}: the log of the server says why it cannot be reached"),
        Readiness::Refusing(line) => println!("{line}: the log of the server says why the store failed"),
    }
    if told == Readiness::Ready { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
