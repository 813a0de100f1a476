//! Our own TLS: a certificate that is renewed while senders go on, one that cannot be used, and commands that find the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pointsman::boot;
use pointsman::tls::Renewal;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::process::run;
use crate::server::{TOKEN, loaded, plan, sign, until};

/// A certificate of `localhost` and its key, self-signed, in PEM.
fn made() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A server that speaks TLS.
struct Encrypted {
    server: boot::Server,
    directory: TempDir,
    certificate: String,
}

fn files(directory: &Path) -> [PathBuf; 2] {
    [directory.join("cert.pem"), directory.join("key.pem")]
}

fn toml(directory: &Path, more: &str) -> String {
    let [certificate, key] = files(directory).map(|file| file.display().to_string());
    format!("[server.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n{more}")
}

impl Encrypted {
    async fn start(more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let certificate = Self::issue(directory.path());
        let server = boot::start(plan(directory.path(), &toml(directory.path(), more))).await.unwrap();
        Self { server, directory, certificate }
    }

    /// Writes a new pair; gives its certificate.
    fn issue(directory: &Path) -> String {
        let (pair, files) = (made(), files(directory));
        std::fs::write(&files[0], &pair.0).unwrap();
        std::fs::write(&files[1], &pair.1).unwrap();
        pair.0
    }

    /// How to trust this certificate alone.
    fn trusting(certificate: &str) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }

    /// A connection by HTTP/1.1 of somebody who trusts this certificate alone.
    async fn connect(&self, certificate: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(Self::trusting(certificate)));
        let socket = TcpStream::connect(self.server.address).await?;
        connector.connect(ServerName::try_from("localhost").unwrap(), socket).await
    }

    async fn http(&self, path: &str) -> reqwest::Response {
        self.http_with(path, 0).await
    }

    /// The same with so many more headers.
    async fn http_with(&self, path: &str, headers: usize) -> reqwest::Response {
        let mut config = Self::trusting(&self.certificate);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().unwrap();
        let url = format!("https://localhost:{}{path}", self.server.address.port());
        let request = client.get(url).bearer_auth(TOKEN);
        (0..headers).fold(request, |request, n| request.header(format!("x-{n}"), "y")).send().await.unwrap()
    }

    async fn connections(&self) -> Value {
        self.http("/metrics").await.json::<Value>().await.unwrap()["connections"].clone()
    }

    async fn ends(self) {
        self.server.stop().await;
    }
}

/// The status of a signed delivery over this connection.
async fn deliver(connection: &mut TlsStream<TcpStream>, id: &str) -> String {
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: {id}\r\nx-hub-signature-256: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        sign(b"{}")
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = connection.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[actix::test]
async fn a_certificate_is_renewed_while_old_connections_go_on() {
    let server = Encrypted::start("check_interval = \"20ms\"").await;
    let first = server.certificate.clone();
    let mut old = server.connect(&first).await.unwrap();
    assert_eq!(deliver(&mut old, "1").await, "200");
    // Half of a renewal is none.
    let [certificate, key] = files(server.directory.path());
    let second = made();
    std::fs::write(&certificate, &second.0).unwrap();
    let shown = server.server.certificate.clone().unwrap();
    let error = shown.renew().unwrap_err().to_string();
    assert!(error.contains("key.pem` is not that of the certificate in"), "{error}");
    assert!(server.connect(&first).await.is_ok() && server.connect(&second.0).await.is_err());
    std::fs::write(&key, &second.1).unwrap();
    until("it to be found", async || server.connect(&second.0).await.is_ok()).await;
    assert!(server.connect(&first).await.is_err(), "nobody is shown the one before any more");
    assert_eq!(deliver(&mut old, "2").await, "200", "nothing happens to whoever is connected");
    // Whoever reloads does not wait for the next look.
    let certificate = Encrypted::issue(server.directory.path());
    assert!(matches!(shown.renew(), Ok(Renewal::Renewed | Renewal::Same)));
    assert_eq!(deliver(&mut server.connect(&certificate).await.unwrap(), "3").await, "200");
    server.ends().await;
}

#[actix::test]
async fn both_versions_of_tls_are_spoken_and_of_http_the_one_that_has_bounds() {
    let server = Encrypted::start("").await;
    assert_eq!(server.http("/health/live").await.version(), reqwest::Version::HTTP_11, "whatever else is offered");
    assert_eq!(server.http_with("/health/live", 80).await.status(), 200);
    assert_eq!(server.http_with("/health/live", 100).await.status(), 431, "a head is held to the same limits");
    let mut old = server.connect(&server.certificate).await.unwrap();
    assert_eq!(old.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(deliver(&mut old, "1").await, "200");
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()).unwrap();
    let older = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12]);
    let connector = TlsConnector::from(Arc::new(older.with_root_certificates(roots).with_no_client_auth()));
    let socket = TcpStream::connect(server.server.address).await.unwrap();
    let mut older = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
    assert_eq!(deliver(&mut older, "2").await, "200");
    server.ends().await;
}

#[actix::test]
async fn handshakes_that_nobody_ends_take_places_like_others_and_end() {
    let more = "handshake_timeout = \"300ms\"\n[server]\nmax_connections = 5\nmax_in_flight = 2";
    let server = Encrypted::start(more).await;
    let mut half = Vec::new();
    for _ in 0..20 {
        half.push(TcpStream::connect(server.server.address).await.unwrap());
        let mut sender = server.connect(&server.certificate).await.unwrap();
        assert_eq!(deliver(&mut sender, &half.len().to_string()).await, "200");
    }
    for connection in &mut half {
        let mut nothing = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(60), connection.read_to_end(&mut nothing));
        let _ = reading.await.expect("it to be closed");
        assert!(nothing.is_empty());
    }
    let counted = server.connections().await;
    assert!(counted["displaced"].as_u64() > Some(0) && counted["refused"] == 0, "{counted}");
    server.ends().await;
}

#[actix::test]
async fn commands_find_the_server_of_their_data_directory() {
    let server = Encrypted::start("").await;
    let directory = server.directory.path().to_owned();
    let events = move || run(&directory, &["events", "list"], &[]);
    let asked = tokio::task::spawn_blocking(events.clone()).await.unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    // Somebody else has the port meanwhile.
    std::fs::write(server.directory.path().join("server.certificate"), "0".repeat(64)).unwrap();
    let asked = tokio::task::spawn_blocking(events).await.unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && said.contains("no answer from https://127.0.0.1:"), "{said}");
    let directory = server.directory.path().to_owned();
    server.server.stop().await;
    assert!(!directory.join("server.certificate").exists());
}

#[test]
fn a_pair_that_cannot_be_used_is_an_error_with_the_file_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = files(directory.path());
    let toml = toml(directory.path(), "");
    let check = |certificate_text: &str, key_text: &str, expect: &str| {
        std::fs::write(&certificate, certificate_text).unwrap();
        std::fs::write(&key, key_text).unwrap();
        let loaded = loaded(directory.path(), &toml);
        let error = boot::plan(&loaded).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.starts_with("TLS cannot be spoken: ") && error.contains(expect), "{error}");
    };
    let (one, other) = (made(), made());
    check(&one.0, &other.1, "is not that of the certificate in");
    check("", &one.1, "no certificate stands in");
    check(&one.0, "", "no private key stands in");
}
