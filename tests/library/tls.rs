//! TLS before a server: who is trusted, who is not, and what a client then says.

use crate::support::tunnel::{Certificates, NAME, Tunnel};
use crate::support::{PATIENCE, Server};
use crate::{hire, on_both, outcome, soon};
use conveyor_client::{Client, Error, ErrorKind, Job, Options, Outcome, Tls, TlsBuilder, Unique};
use conveyor_worker::{Outcome as Work, Worker};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

on_both!(
    a_server_is_known_by_its_ca_and_its_name,
    a_server_of_another_ca_gets_no_job,
    a_server_may_ask_for_a_certificate,
    both_ends_may_have_one_self_signed_certificate,
    client_and_worker_talk_tls_with_large_payloads_and_again_after_a_restart,
);

/// Settings of stunnel for one version of TLS only.
const VERSIONS: [&str; 2] =
    ["sslVersionMin = TLSv1.2\nsslVersionMax = TLSv1.2", "sslVersionMin = TLSv1.3\nsslVersionMax = TLSv1.3"];

fn by_tls(address: SocketAddr, tls: TlsBuilder) -> Options {
    Options::new([address.to_string()])
        .tls(tls.load().unwrap())
        .backoff(Duration::from_millis(20), Duration::from_millis(100))
}

async fn connect(address: SocketAddr, tls: TlsBuilder) -> Result<Client, Error> {
    soon("a connection or an error", Client::connect(by_tls(address, tls))).await
}

/// Connects, and has a job done.
async fn works(address: SocketAddr, tls: TlsBuilder) {
    let client = connect(address, tls).await.unwrap();
    assert_eq!(outcome(&client, Job::new("echo", "hello")).await.unwrap(), Outcome::Complete("hello".into()));
}

/// Cannot connect, for a reason that contains these words.
async fn is_refused(address: SocketAddr, tls: TlsBuilder, words: &str) {
    let error = connect(address, tls).await.map(|_| ()).unwrap_err();
    let ErrorKind::Unreachable(why) = &error.kind else { panic!("{error}") };
    assert!(why.contains(words), "{words:?} is not in {why:?}");
}

async fn a_server_is_known_by_its_ca_and_its_name(server: Server) {
    let (made, _worker) = (Certificates::new(), hire(server.address));
    let ca = || Tls::builder().ca(made.path("ca.pem"));
    for version in VERSIONS {
        let tunnel = Tunnel::start(server.address, &made, "server", version);
        works(tunnel.address, ca().name(NAME)).await;
        works(tunnel.address, ca().ca(made.path("other.pem")).name(NAME)).await;
        is_refused(tunnel.address, ca(), "for another name").await;
        is_refused(tunnel.address, ca().name("mail.test"), "for another name").await;
    }
}

async fn a_server_of_another_ca_gets_no_job(server: Server) {
    let made = Certificates::new();
    let tunnel = Tunnel::start(server.address, &made, "server", "");
    let other = || Tls::builder().ca(made.path("other.pem")).name(NAME);
    is_refused(tunnel.address, other(), "no CA given has signed").await;
    // A client that has another server as well gives it nothing either.
    let both =
        Options::new([server.address.to_string(), tunnel.address.to_string()]).tls(other().load().unwrap());
    let error = soon("an error", Client::connect(both)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)), "{error}");
    assert_eq!(server.status(), [], "no function was ever named");
    is_refused(tunnel.address, Tls::builder().pin(made.path("pair.pem")), "not the pinned one").await;
    let plain = Options::new([tunnel.address.to_string()]);
    let client = soon("a plain connection", Client::connect(plain)).await.unwrap();
    assert!(matches!(soon("echo", client.echo("")).await.unwrap_err().kind, ErrorKind::Lost(_)));
}

async fn a_server_may_ask_for_a_certificate(server: Server) {
    let (made, _worker) = (Certificates::new(), hire(server.address));
    let (ca, pair) = (made.file("ca.pem"), made.file("pair.pem"));
    let trusting = || Tls::builder().ca(&ca).name(NAME);
    for version in VERSIONS {
        let asks = format!("CAfile = {ca}\nverifyChain = yes\n{version}");
        let tunnel = Tunnel::start(server.address, &made, "server", &asks);
        let own = || trusting().certificate(made.path("client.pem"), made.path("client.key"));
        works(tunnel.address, own()).await;
        is_refused(tunnel.address, trusting(), "give it one that it trusts").await;
        let foreign = trusting().certificate(&pair, made.path("pair.key"));
        is_refused(tunnel.address, foreign, "give it one that it trusts").await;
    }
}

async fn both_ends_may_have_one_self_signed_certificate(server: Server) {
    let (made, _worker) = (Certificates::new(), hire(server.address));
    let printed = crate::support::run(std::process::Command::new("openssl").args([
        "x509",
        "-noout",
        "-text",
        "-in",
        &made.file("old.pem"),
    ]));
    assert!(String::from_utf8_lossy(&printed.stdout).contains("Version: 1 "), "the old one is of version 1");
    for (name, version) in
        ["pair", "old"].into_iter().flat_map(|name| VERSIONS.map(|version| (name, version)))
    {
        let (certificate, key) = (made.file(&format!("{name}.pem")), made.file(&format!("{name}.key")));
        let asks = format!("CAfile = {certificate}\nverifyPeer = yes\n{version}");
        let tunnel = Tunnel::start(server.address, &made, name, &asks);
        works(tunnel.address, Tls::builder().pin(&certificate).certificate(&certificate, &key)).await;
        let stranger = Tls::builder().pin(made.path("stranger.pem")).certificate(&certificate, &key);
        is_refused(tunnel.address, stranger, "not the pinned one").await;
        let as_ca = Tls::builder().ca(&certificate).name(NAME).certificate(&certificate, &key);
        is_refused(tunnel.address, as_ca, "pin it").await;
    }
}

async fn client_and_worker_talk_tls_with_large_payloads_and_again_after_a_restart(server: Server) {
    let made = Certificates::new();
    let mut tunnel = Tunnel::start(server.address, &made, "server", "");
    let trusting = || Tls::builder().ca(made.path("ca.pem")).name(NAME);
    let worker = Worker::new(tunnel.address.to_string())
        .tls(trusting().load().unwrap())
        .jobs(4)
        .function("echo", |job| async move { Work::Complete(job.payload().clone()) });
    let working = tokio::spawn(async move { worker.run().await });
    let options = by_tls(tunnel.address, trusting()).give_up(PATIENCE);
    let client = soon("a connection", Client::connect(options)).await.unwrap();
    for round in 0..2_u8 {
        if round > 0 {
            tunnel.process.signal("KILL");
            tunnel.process.exit_code();
            let port = tunnel.address.port();
            tunnel = Tunnel::start_at(port, server.address, &made, "server", "");
        }
        let payloads: Vec<Vec<u8>> = (0..6).map(|number| vec![round * 10 + number; 3 << 20]).collect();
        let jobs = payloads.iter().map(|payload| Job::new("echo", payload.clone()).unique(Unique::Random));
        let handles = soon("room", client.submit_all(jobs)).await;
        for (payload, handle) in payloads.into_iter().zip(handles) {
            let ended = soon("an outcome", handle.unwrap().outcome()).await.unwrap();
            assert!(ended == Outcome::Complete(payload.into()), "the payload comes back as it was");
        }
    }
    working.abort();
}

#[tokio::test]
async fn a_server_that_never_answers_the_handshake_is_given_up_in_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let made = Certificates::new();
    let limit = Duration::from_millis(300);
    let tls = Tls::builder().ca(made.path("ca.pem"));
    let options = by_tls(listener.local_addr().unwrap(), tls).connect_timeout(limit);
    let error = soon("the limit", Client::connect(options)).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable("no answer within 300ms".to_owned()));
}

#[tokio::test]
async fn a_server_in_the_clear_is_told_from_one_with_tls() {
    let (server, made) = (Server::conveyor(&[]), Certificates::new());
    let tls = || Tls::builder().ca(made.path("ca.pem")).name(NAME);
    let limit = Duration::from_millis(500);
    let connecting = Client::connect(by_tls(server.address, tls()).connect_timeout(limit));
    let error = soon("an error", connecting).await.map(|_| ()).unwrap_err();
    let ErrorKind::Unreachable(why) = &error.kind else { panic!("{error}") };
    assert!(why.contains("no answer") || why.contains("does not speak TLS"), "{why}");
}

/// Shows the certificate `pair`, and signs with the key `key`, with one version of TLS.
fn impostor(made: &Certificates, key: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let certificate = CertificateDer::from_pem_file(made.path("pair.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(made.path(key)).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(shown))))
}

#[tokio::test]
async fn the_pinned_certificate_without_its_key_proves_nothing() {
    let made = Certificates::new();
    for (version, key) in
        [(&TLS12, "stranger.key"), (&TLS13, "stranger.key"), (&TLS12, "pair.key"), (&TLS13, "pair.key")]
    {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, acceptor) = (listener.local_addr().unwrap(), impostor(&made, key, version));
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.map(|_| ())
        });
        let words = if key == "pair.key" { "closed the connection" } else { "has not the key" };
        is_refused(address, Tls::builder().pin(made.path("pair.pem")), words).await;
        let shaken = soon("the end of the handshake", serving).await.unwrap();
        assert_eq!(shaken.is_ok(), key == "pair.key", "{shaken:?}");
    }
}

#[test]
fn files_of_no_use_are_named_with_what_to_do() {
    let made = Certificates::new();
    let encrypted = made.file("encrypted.key");
    let mut encrypt = std::process::Command::new("openssl");
    encrypt.args([
        "pkey",
        "-aes256",
        "-passout",
        "pass:secret",
        "-in",
        &made.file("client.key"),
        "-out",
        &encrypted,
    ]);
    assert!(crate::support::run(&mut encrypt).status.success());
    let ca = || Tls::builder().ca(made.path("ca.pem"));
    let client = made.file("client.pem");
    let cases = [
        (Tls::builder(), "", "give it a CA file"),
        (ca().ca(made.path("none.pem")), "none.pem", "cannot be read"),
        (ca().ca(made.path("ca.key")), "ca.key", "has no certificate"),
        (Tls::builder().pin(made.path("ca.key")), "ca.key", "has no certificate"),
        (ca().certificate(&client, made.path("none.key")), "none.key", "cannot be read"),
        (ca().certificate(&client, made.path("ca.pem")), "ca.pem", "has no private key"),
        (ca().certificate(&client, &encrypted), "encrypted.key", "openssl pkey"),
        (ca().certificate(&client, made.path("server.key")), "server.key", "client.pem: give the pair"),
        (ca().name("not a name"), "not a name", "host name or an IP address"),
    ];
    for (builder, file, what) in cases {
        let error = builder.load().unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(what), "{error}");
    }
}
