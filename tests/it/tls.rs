//! Both doors behind TLS.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::World;

/// Trusts the certificate in the data directory, and nothing else.
async fn connect(world: &World, port: u16) -> TlsStream<TcpStream> {
    let cert = world.data_dir().join("keys/tls-cert.pem");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn secured() -> World {
    World::build().configure(|written| written.tls.self_signed = true).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_api_are_served_under_tls() {
    let world = secured().await;
    let app = world.app.as_ref().unwrap();
    assert!(app.addresses.http.starts_with("https://127.0.0.1:"), "{:?}", app.addresses);
    let mut stream = connect(&world, app.http.port()).await;
    let head = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut seen = Vec::new();
    // A server that closes without a last word of TLS has still said everything.
    let _ = stream.read_to_end(&mut seen).await;
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.starts_with("HTTP/1.1 200 OK"), "{seen}");
    // Without a handshake there is nothing to be had.
    let mut plain = TcpStream::connect(app.http).await.unwrap();
    plain.write_all(head).await.unwrap();
    let mut seen = Vec::new();
    let _ = plain.read_to_end(&mut seen).await;
    assert!(!seen.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_clients_are_served_under_tls() {
    let world = secured().await;
    let app = world.app.as_ref().unwrap();
    assert!(app.addresses.redis.starts_with("rediss://"), "{:?}", app.addresses);
    let mut stream = connect(&world, app.redis.port()).await;
    // Larger than what TLS takes at once, both ways.
    let value = "x".repeat(1 << 20);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
    stream.write_all(set.as_bytes()).await.unwrap();
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nQUIT\r\n").await.unwrap();
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen).await;
    let expected = format!("+OK\r\n${}\r\n{value}\r\n+OK\r\n", value.len());
    assert!(seen == expected.as_bytes(), "{} bytes came back", seen.len());
}
