//! Certificates and keys from PEM files. Every error says which file, and what to do.

use super::TlsError;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use tokio_rustls::rustls::sign::CertifiedKey;

/// All certificates of a file; at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(no_certificate(file)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// The first certificate of a file.
pub(super) fn first_certificate(file: &Path) -> Result<CertificateDer<'static>, TlsError> {
    certificates(file)?.into_iter().next().ok_or_else(|| no_certificate(file))
}

/// The public key of a certificate of version 1 or 3.
pub(super) fn key_of(
    certificate: &CertificateDer<'_>,
    file: &Path,
) -> Result<SubjectPublicKeyInfoDer<'static>, TlsError> {
    let anchor = webpki::anchor_from_trusted_cert(certificate);
    let anchor =
        anchor.map_err(|error| TlsError::new(file, format!("has a certificate of no use: {error}")))?;
    Ok(webpki::spki_for_anchor(&anchor))
}

/// A certificate with its chain and its key. Compared here and not by rustls, which knows no certificate of version 1.
pub(super) fn identity(
    certificate: &Path,
    key: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate)?;
    let own = chain.first().ok_or_else(|| no_certificate(certificate))?;
    let public = key_of(own, certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        PemError::NoItemsFound => TlsError::new(
            key,
            "has no private key that can be read: it must be PEM and not encrypted (`openssl pkey -in FILE` decrypts it)",
        ),
        error => unreadable(key, &error),
    })?;
    let private = provider.key_provider.load_private_key(private);
    let private = private.map_err(|error| TlsError::new(key, format!("has a key of no use: {error}")))?;
    if private.public_key().is_some_and(|of_key| of_key.as_ref() != public.as_ref()) {
        let of_another =
            format!("has not the key of the certificate in {}: give the pair", certificate.display());
        return Err(TlsError::new(key, of_another));
    }
    Ok(CertifiedKey::new(chain, private))
}

fn no_certificate(file: &Path) -> TlsError {
    TlsError::new(file, "has no certificate: it must be PEM, with a line -----BEGIN CERTIFICATE-----")
}

fn unreadable(file: &Path, error: &PemError) -> TlsError {
    match error {
        PemError::Io(error) => TlsError::new(file, format!("cannot be read: {error}")),
        error => TlsError::new(file, format!("is not PEM: {error}")),
    }
}
