//! TLS as a client or worker speaks it: whom it trusts, and what it shows of itself.
//!
//! [`files`] reads PEM, [`pin`] is the verifier that knows one certificate by heart.

mod files;
mod pin;

use pin::Pinned;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, OtherError, RootCertStore};

/// How to speak TLS with servers: 1.2 or 1.3, with the files of [`TlsBuilder`] as they were when loaded. Cheap to clone.
///
/// ```no_run
/// use conveyor_client::{Options, Tls};
///
/// # fn run() -> Result<(), conveyor_client::TlsError> {
/// let tls = Tls::builder().ca("ca.pem").certificate("client.pem", "client.key").load()?;
/// let options = Options::new(["jobs.example.org:4730"]).tls(tls);
/// # let _ = options;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

/// The files and names of a [`Tls`]. It needs a CA or a pin: certificates of the system count for nothing.
#[derive(Clone, Debug, Default)]
pub struct TlsBuilder {
    cas: Vec<PathBuf>,
    pin: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    name: Option<String>,
}

/// Why TLS cannot be used as wanted: which file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    fn new(file: &Path, what: impl fmt::Display) -> Self {
        Self(format!("{}: {what}", file.display()))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Nothing trusted and nothing shown yet.
    #[must_use]
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// The name that the certificate of `host` has to bear.
    pub(crate) fn name(&self, host: &str) -> Result<ServerName<'static>, String> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()).map_err(|_| {
                format!("no certificate is for a host called {host:?}: name the server for TLS")
            }),
        }
    }
}

impl TlsBuilder {
    /// Trusts servers with a certificate that a CA of this PEM file has signed, for the name they are connected to.
    /// As often as wanted.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.cas.push(file.into());
        self
    }

    /// Trusts only servers with exactly the first certificate of this PEM file, byte for byte, and that prove to
    /// have its key. Nothing else of it counts, neither names nor dates nor who signed it: this is for one self-signed
    /// certificate that both ends have, which may be marked as a CA, without any name, or of version 1. CAs count no more.
    #[must_use]
    pub fn pin(mut self, file: impl Into<PathBuf>) -> Self {
        self.pin = Some(file.into());
        self
    }

    /// Shows this certificate to servers that ask for one, with those behind it in the same PEM file as its chain; and
    /// its private key, PEM, not encrypted.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The name (or IP address) that certificates of servers have to bear, instead of the host connected to.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read or is of no use, or there is neither a CA nor a pin.
    pub fn load(self) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let cannot = |error: Error| TlsError(format!("TLS cannot be set up: {error}"));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(cannot)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let identity = files::identity(certificate, key, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        };
        let name = self.name.map(|name| {
            let unusable = format!("{name:?} can be no name of a server: give a host name or an IP address");
            ServerName::try_from(name).map_err(|_| TlsError(unusable))
        });
        Ok(Tls { config: Arc::new(config), name: name.transpose()? })
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if let Some(file) = &self.pin {
            let certificate = files::first_certificate(file)?;
            let key = files::key_of(&certificate, file)?;
            let algorithms = provider.signature_verification_algorithms;
            return Ok(Arc::new(Pinned { certificate, key, algorithms }));
        }
        if self.cas.is_empty() {
            return Err(TlsError(
                "TLS trusts nobody yet: give it a CA file, or a certificate to pin".to_owned(),
            ));
        }
        let mut roots = RootCertStore::empty();
        for file in &self.cas {
            for certificate in files::certificates(file)? {
                let added = roots.add(certificate);
                added.map_err(|error| TlsError::new(file, format!("has a CA of no use: {error}")))?;
            }
        }
        let built =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        Ok(built.map_err(|error| TlsError(format!("the CAs are of no use: {error}")))?)
    }
}

/// What went wrong in talking TLS, and what to do about it where that is known.
pub(crate) fn explain(error: &Error) -> String {
    let hint = match error {
        Error::InvalidMessage(_) => "the server does not speak TLS on this port",
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "no CA given has signed the server's certificate",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another name: give that name for TLS, or pin the certificate"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired"
            }
            // Certificates that are marked as a CA, of version 1, or odd in another way.
            CertificateError::BadEncoding | CertificateError::Other(OtherError(_)) => {
                "the server's certificate cannot be checked by a CA: if it is self-signed and yours, pin it"
            }
            CertificateError::ApplicationVerificationFailure => {
                return "the server's certificate is not the pinned one: pin its new one if it was renewed"
                    .to_owned();
            }
            CertificateError::BadSignature => "the server has not the key of its certificate",
            _ => "the server's certificate is refused",
        },
        Error::AlertReceived(_) => {
            "the server refuses: if it wants a certificate, give it one that it trusts"
        }
        Error::PeerIncompatible(_) => "the server speaks neither TLS 1.2 nor 1.3 as it is spoken here",
        _ => "TLS failed",
    };
    format!("{hint} ({error})")
}
