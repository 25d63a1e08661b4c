//! Trust in one certificate: the very same bytes, and proof that the server has its key.
//!
//! The proof is the signature of the handshake. It is checked against the public key alone, since webpki reads
//! neither certificates of version 1 nor, as a server's, those that are marked as a CA.

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::RawPublicKeyEntity;

/// The certificate that is trusted.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) certificate: CertificateDer<'static>,
    /// Its public key.
    pub(super) key: SubjectPublicKeyInfoDer<'static>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let same = certificate.as_ref() == self.certificate.as_ref();
        same.then_some(()).ok_or(CertificateError::ApplicationVerificationFailure.into())
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.is_pinned(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.is_pinned(certificate)?;
        let bad = || Error::from(CertificateError::BadSignature);
        let key = RawPublicKeyEntity::try_from(&self.key).map_err(|_| bad())?;
        let of_scheme = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        // A scheme of TLS 1.2 leaves the curve open: the algorithms that are for another key just fail.
        let valid = of_scheme
            .flat_map(|(_, algorithms)| *algorithms)
            .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
        valid.then(HandshakeSignatureValid::assertion).ok_or_else(bad)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.is_pinned(certificate)?;
        verify_tls13_signature_with_raw_key(message, &self.key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
