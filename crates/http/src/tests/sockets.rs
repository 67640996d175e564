//! What only a real connection shows: slow bodies, workers, stopping.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use super::world::World;
use crate::{Drain, ServerHandle, ServerOptions, server};

/// A server on a free port.
async fn serve() -> (SocketAddr, ServerHandle) {
    serve_until(Drain::default()).await
}

/// A server on a free port that may be about to stop.
async fn serve_until(drain: Drain) -> (SocketAddr, ServerHandle) {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServerOptions {
        workers: 1,
        head_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        shutdown_timeout: Duration::from_secs(2),
        drain,
        ..ServerOptions::default()
    };
    let server = server(world.shared.api.clone(), listener, &options).unwrap();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

/// Sends the text and reads until the server closes or two seconds are over.
async fn talk(address: SocketAddr, text: &'static str) -> (String, Duration) {
    let talk = move || {
        let started = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..count]);
        }
        (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
    };
    actix_web::web::block(talk).await.unwrap()
}

#[actix_web::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let (address, handle) = serve().await;
    let head = "POST /api/v1/users/1/deposits HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n\
        Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"amount\"";
    let (answer, took) = talk(address, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    assert!(took < Duration::from_millis(1900), "the connection was closed: {took:?}");
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_head_that_does_not_arrive_is_given_up() {
    let (address, handle) = serve().await;
    let (answer, took) = talk(address, "GET /health/live HTTP/1.1\r\nHost:").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(took < Duration::from_millis(1900), "{took:?}");
    handle.stop(false).await;
}

#[actix_web::test]
async fn ambiguous_lengths_are_refused() {
    let (address, handle) = serve().await;
    for head in [
        "POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "GET /health/live HTTP/1.1\r\nHost: localhost\r\nBad Header: 1\r\n\r\n",
    ] {
        let (answer, _) = talk(address, head).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head}: {answer}");
    }
    handle.stop(false).await;
}

#[actix_web::test]
async fn an_answered_request_says_nothing_of_the_server() {
    let (address, handle) = serve().await;
    let (answer, _) =
        talk(address, "GET /api/v1/services HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.to_lowercase().contains("\r\nserver:"), "{answer}");
    handle.stop(true).await;
}

/// Callers learn that they should go elsewhere, and lose nothing by it.
#[actix_web::test]
async fn before_a_stop_calls_are_answered_and_their_connections_closed() {
    let drain = Drain::default();
    let (address, handle) = serve_until(drain.clone()).await;
    let live = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ready = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (answer, took) = talk(address, ready).await;
    assert!(answer.starts_with("HTTP/1.1 200") && took > Duration::from_millis(1900), "{took:?} {answer}");
    drain.begin();
    for (request, status) in [(live, "200"), (ready, "503"), (live, "200")] {
        let (answer, took) = talk(address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(took < Duration::from_millis(1900), "the connection was closed: {took:?}");
    }
    handle.stop(false).await;
}
