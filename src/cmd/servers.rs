//! Which servers a command talks to: options that `client submit` and `worker` have in common.

/// Options of every command that talks to servers. Short letters are those of `gearman`.
#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// Job server host
    #[arg(long, short = 'h', value_name = "HOST", default_value = "127.0.0.1")]
    host: String,

    /// Job server port
    #[arg(long, short, value_name = "N", default_value_t = 4730)]
    port: u16,

    /// A server instead of -h and -p; several: jobs are spread over them, those with a unique by the unique, and a
    /// worker takes turns
    #[arg(long = "server", value_name = "HOST:PORT", conflicts_with_all = ["host", "port"])]
    servers: Vec<String>,
}

impl Servers {
    /// The servers, as `host:port`; at least one.
    pub(crate) fn addresses(&self) -> Vec<String> {
        match self.servers.as_slice() {
            [] => vec![format!("{}:{}", self.host, self.port)],
            servers => servers.to_vec(),
        }
    }
}
