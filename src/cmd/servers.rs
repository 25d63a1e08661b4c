//! Which servers a command talks to, and how: options that `client submit` and `worker` have in common.

use crate::settings::DEFAULT_PORT;
use conveyor_client::Tls;
use std::path::PathBuf;

/// What stands for options that are not given, with --tls: names that gearmand set-ups use.
const CA_VARIABLE: &str = "GEARMAND_CA_CERTIFICATE";
const CERTIFICATE_VARIABLE: &str = "GEARMAND_CERTIFICATE";
const KEY_VARIABLE: &str = "GEARMAND_KEY";

/// Options of every command that talks to servers. Short letters are those of `gearman`.
#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// Job server host [default: 127.0.0.1]
    #[arg(long, short = 'h', value_name = "HOST")]
    host: Option<String>,

    /// Job server port [default: 4730]
    #[arg(long, short, value_name = "N")]
    port: Option<u16>,

    /// A server instead of -h and -p; several: jobs are spread over them, those with a unique by the unique, and a
    /// worker takes turns
    #[arg(long = "server", value_name = "HOST:PORT", conflicts_with_all = ["host", "port"])]
    servers: Vec<String>,

    /// Talk TLS with the servers; needs --tls-ca or --tls-pin
    #[arg(long, short = 'S', visible_alias = "ssl")]
    tls: bool,

    /// Trust servers whose certificate a CA of this PEM file has signed [env: GEARMAND_CA_CERTIFICATE]
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_ca: Vec<PathBuf>,

    /// Certificate to show to servers, PEM [env: GEARMAND_CERTIFICATE]
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_cert: Option<PathBuf>,

    /// Its private key, PEM, if it is in another file [env: GEARMAND_KEY]
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_key: Option<PathBuf>,

    /// Name in the certificate of the servers, if it is not the host
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,

    /// Trust only servers with the very certificate of this PEM file, self-signed or not, whatever its names and dates
    #[arg(long, value_name = "FILE", requires = "tls", conflicts_with_all = ["tls_ca", "tls_name"])]
    tls_pin: Option<PathBuf>,
}

impl Servers {
    /// The servers, as `host:port`; at least one.
    pub(crate) fn addresses(&self) -> Vec<String> {
        match self.servers.as_slice() {
            [] => {
                let host = self.host.as_deref().unwrap_or("127.0.0.1");
                vec![format!("{host}:{}", self.port.unwrap_or(DEFAULT_PORT))]
            }
            servers => servers.to_vec(),
        }
    }

    /// The same, if anything was said about them.
    pub(crate) fn given(&self) -> Option<Vec<String>> {
        let said = self.host.is_some() || self.port.is_some() || !self.servers.is_empty();
        said.then(|| self.addresses())
    }

    /// How to talk TLS, if it is wanted; the error says what to do.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, String> {
        if !self.tls {
            return Ok(None);
        }
        let variable = |name| std::env::var_os(name).filter(|file| !file.is_empty()).map(PathBuf::from);
        let mut builder = Tls::builder();
        if let Some(file) = &self.tls_pin {
            builder = builder.pin(file);
        } else {
            let default = if self.tls_ca.is_empty() { variable(CA_VARIABLE) } else { None };
            let cas: Vec<&PathBuf> = self.tls_ca.iter().chain(&default).collect();
            if cas.is_empty() {
                return Err(format!(
                    "--tls trusts nobody yet: give --tls-ca FILE (or {CA_VARIABLE}), or --tls-pin FILE for a self-signed \
                     certificate"
                ));
            }
            builder = cas.into_iter().fold(builder, |builder, file| builder.ca(file));
        }
        // A key of the environment belongs to its certificate.
        let (certificate, key) = match (&self.tls_cert, &self.tls_key) {
            (None, key) => (variable(CERTIFICATE_VARIABLE), key.clone().or_else(|| variable(KEY_VARIABLE))),
            (given, key) => (given.clone(), key.clone()),
        };
        match (certificate, key) {
            (Some(certificate), key) => {
                let key = key.unwrap_or_else(|| certificate.clone());
                builder = builder.certificate(certificate, key);
            }
            (None, None) => {}
            (None, Some(key)) => {
                let key = key.display();
                return Err(format!(
                    "{key} is a key without a certificate: give --tls-cert FILE (or {CERTIFICATE_VARIABLE})"
                ));
            }
        }
        if let Some(name) = &self.tls_name {
            builder = builder.name(name);
        }
        builder.load().map(Some).map_err(|error| error.to_string())
    }
}
