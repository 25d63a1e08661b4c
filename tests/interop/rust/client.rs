//! Client on conveyor-client; see ../README.md.

use conveyor_client::{Client, Job, Options, Outcome, Priority, Unique, UnixSeconds, Update};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Waits for the end of a job and prints what happens.
async fn follow(client: Client, job: Job, output: &Path) -> Result<(), Box<dyn Error>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut job = client.submit(job).await?;
    while let Some(update) = job.next().await {
        match update {
            Update::Created(_) => println!("CREATED"),
            Update::Status { numerator, denominator } => println!("STATUS {numerator}/{denominator}"),
            Update::Data(data) => println!("DATA {}", text(&data)),
            Update::Warning(warning) => println!("WARNING {}", text(&warning)),
            Update::Exception(message) => println!("EXCEPTION {}", text(&message)),
        }
    }
    match job.outcome().await? {
        Outcome::Complete(result) => {
            std::fs::write(output, result)?;
            println!("COMPLETE");
        }
        Outcome::Failed => println!("FAIL"),
        Outcome::Exception(_) | Outcome::Accepted(_) => {}
    }
    Ok(())
}

/// Two hundred jobs at once; how many have the right result.
async fn many(client: &Client, function: &str, payload: &[u8]) -> Result<usize, Box<dyn Error>> {
    let payloads: Vec<Vec<u8>> =
        (0..200).map(|number| [payload, format!(" {number}").as_bytes()].concat()).collect();
    let jobs = payloads.iter().map(|payload| Job::new(function.to_owned(), payload.clone()));
    let mut right = 0;
    for (job, mut payload) in client.submit_all(jobs).await.into_iter().zip(payloads.clone()) {
        payload.reverse();
        right += usize::from(job?.outcome().await? == Outcome::Complete(payload.into()));
    }
    Ok(right)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, operation, function, input, output, rest @ ..] = args.as_slice() else {
        return Err("HOST PORT OPERATION FUNCTION INPUT OUTPUT [EXTRA]".into());
    };
    let extra = rest.first().cloned().unwrap_or_default();
    let payload = std::fs::read(input)?;
    let output = Path::new(output);
    let client = Client::connect(Options::new([format!("{host}:{port}")])).await?;
    let client = client.run(Duration::from_secs(60));
    let job = Job::new(function.clone(), payload.clone());
    let job = match operation.as_str() {
        "normal" => job,
        "high" => job.priority(Priority::High),
        "low" => job.priority(Priority::Low),
        "bg" => job.background(),
        "high_bg" => job.background().priority(Priority::High),
        "low_bg" => job.background().priority(Priority::Low),
        "epoch" => job.at(UnixSeconds(extra.parse()?)),
        "unique" => {
            let job = job.unique(Unique::Given(extra.into()));
            let other = follow(client.clone(), job.clone(), output);
            tokio::try_join!(other, follow(client, job, output))?;
            return Ok(ExitCode::SUCCESS);
        }
        "many" => {
            println!("MANY {}", many(&client, function, &payload).await?);
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Ok(ExitCode::from(3)),
    };
    follow(client, job, output).await?;
    Ok(ExitCode::SUCCESS)
}
