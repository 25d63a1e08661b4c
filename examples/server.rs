//! A job server inside a program of your own: `cargo run --example server [HOST:PORT]`, 127.0.0.1:4730 unless told
//! otherwise. Ctrl-C lets it finish the jobs it has, a second one ends it at once.

use conveyor_common::HandlePrefix;
use conveyor_server::core::{Compat, Durability, Identity, Keeps, Rules, Wakeup};
use conveyor_server::{Config, Keepalive, Limits, Server, Stop};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4730".to_owned());
    let (host, port) = address.rsplit_once(':').ok_or("give the address as HOST:PORT")?;

    // Nothing is decided for you; these are the defaults of `conveyor server`.
    let config = Config {
        listen: vec![host.to_owned()],
        port: port.parse()?,
        backlog: 1024,
        rules: Rules {
            compat: Compat::V2_0,
            round_robin: false,
            max_losses: None,
            wakeup: Wakeup::AsNeeded,
            exceptions: false,
            // Handles are `H:example:1`, `H:example:2`, ...
            prefix: HandlePrefix::new(b"H:example"),
            // With a store: `Durability::Sync`, and `store` below says where.
            durability: Durability::Memory,
            keeps: Keeps::default(),
            queue_bytes: 1 << 30,
            identity: Identity {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                verbose: "ERROR".to_owned(),
            },
        },
        store: None,
        limits: Limits::default(),
        keepalive: Keepalive::default(),
    };

    // Binding comes first, so that a port that is taken is an error here and not in a thread.
    let mut server = Server::bind(config)?.spawn()?;
    for address in server.addresses() {
        println!("listening on {address}");
    }

    // It serves on a thread of its own; this one waits for Ctrl-C.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::signal::ctrl_c().await?;
        server.stop(Stop::Drained);
        tokio::select! {
            () = server.ended() => {}
            again = tokio::signal::ctrl_c() => {
                again?;
                server.stop(Stop::Now);
            }
        }
        std::io::Result::Ok(())
    })?;
    server.join();
    println!("ended");
    Ok(())
}
