//! Posts reports, as JSON, to a web server.

use super::{Notice, config, left};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Webhook {
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    ca: Option<std::path::PathBuf>,
    retries: u32,
    pause: Duration,
}

/// Why a try did not succeed.
enum Refused {
    /// Another try may.
    Now(String),
    ForGood(String),
}

impl Webhook {
    pub(super) fn new(config: &config::Webhook) -> Result<Self, String> {
        // Addresses of webhooks are secrets: none is repeated.
        let url: Uri = config.url.parse().map_err(|error| format!("url is none: {error}"))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err("url must begin with http://HOST or https://HOST".to_owned());
        }
        let mut headers = Vec::new();
        for (name, value) in &config.headers {
            let wrong = || format!("header {name:?} cannot be sent: it has bytes that no header can have");
            let value: HeaderValue = value.parse().map_err(|_| wrong())?;
            headers.push((name.parse::<HeaderName>().map_err(|_| wrong())?, value));
        }
        let pause = Duration::from_millis(config.retry_delay_ms.into());
        Ok(Self { url, headers, ca: config.ca.clone(), retries: config.retries, pause })
    }

    pub(super) fn tell(&self, notice: &Notice, deadline: Instant) -> Result<(), String> {
        let agent = self.agent()?;
        let body = notice.json.to_string();
        let mut pause = self.pause;
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            let why = match self.post(&agent, &body, deadline) {
                Ok(()) => return Ok(()),
                Err(Refused::ForGood(why)) => return Err(why),
                Err(Refused::Now(why)) => format!("{why} ({tries} tries)"),
            };
            // A pause that lasts longer than the time there is leaves none for the try after it.
            if tries > self.retries || left(deadline).is_ok_and(|left| left <= pause) {
                return Err(why);
            }
            left(deadline).map_err(|end| format!("{why}; {end}"))?;
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn agent(&self) -> Result<Agent, String> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST becomes a GET: whoever configures it is to name the place.
            .max_redirects(0)
            .user_agent(concat!("conveyor/", env!("CARGO_PKG_VERSION")));
        if self.url.scheme_str() == Some("https") {
            let tls = TlsConfig::builder()
                .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .root_certs(RootCerts::new_with_certs(&roots(self.ca.as_deref())?))
                .build();
            config = config.tls_config(tls);
        }
        Ok(config.build().new_agent())
    }

    fn post(&self, agent: &Agent, body: &str, deadline: Instant) -> Result<(), Refused> {
        let mut request = agent.post(&self.url).header("Content-Type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let left = left(deadline).map_err(Refused::ForGood)?;
        let response = request.config().timeout_global(Some(left)).build().send(body);
        let status = response.map_err(|error| Refused::Now(error.to_string()))?.status();
        let answered = format!("the server answered {status}");
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(Refused::Now(answered)),
            status if status.is_server_error() => Err(Refused::Now(answered)),
            status if status.is_redirection() => {
                Err(Refused::ForGood(format!("{answered}: set url to where it leads")))
            }
            _ => Err(Refused::ForGood(answered)),
        }
    }
}

/// Whom to trust: the certificates in `file`, or those of the system.
fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let Some(file) = file else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(format!("this system has no certificates to trust{why}: set ca to a PEM file"));
        }
        return Ok(found
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect());
    };
    let cannot = |why: String| format!("cannot read certificates from {}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| cannot(error.to_string()))? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() { Err(cannot("there are none".to_owned())) } else { Ok(roots) }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.scheme_str().unwrap_or_default();
        write!(f, "webhook at {scheme}://{}", self.url.host().unwrap_or_default())
    }
}
