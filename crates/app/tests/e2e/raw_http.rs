//! Bytes that no well-behaved client sends: smuggling, lies about length, slow callers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{Server, Store, World};

/// Sends and reads until the other side closes or says nothing for a while.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    // The other side may have refused and closed before it has read everything.
    drop(stream.write_all(bytes));
    read_all(&mut stream)
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<u16> {
    answer.split("HTTP/1.1 ").skip(1).filter_map(|part| part[..3].parse().ok()).collect()
}

const DEPOSIT: &str = "POST /api/v1/users/1/deposits HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: raw\r\n\
                       Content-Type: application/json\r\n";

#[tokio::test]
async fn frames_with_two_meanings_are_refused_and_the_connection_closed() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 100).await;
    // What a front proxy would take for the body holds a second request.
    let hidden = "DELETE /api/v1/users/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let inside = format!("0\r\n\r\n{hidden}");
    let length = inside.len();
    let frames = [
        format!("{DEPOSIT}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{inside}"),
        format!("{DEPOSIT}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{inside}"),
        format!("{DEPOSIT}Content-Length: 4\r\nContent-Length: {length}\r\n\r\n{inside}"),
        format!("{DEPOSIT}Transfer-Encoding: chunked, identity\r\n\r\n{inside}"),
        format!("{DEPOSIT}Transfer-Encoding: xchunked\r\n\r\n{inside}"),
        format!("{DEPOSIT}Content-Length: +12\r\n\r\n{{\"amount\":1}}"),
        format!("{DEPOSIT}Content-Length: -1\r\n\r\n{inside}"),
        format!("{DEPOSIT}Content-Length: 99999999999999999999\r\n\r\n{inside}"),
        format!("{DEPOSIT}Content-Length: 12, 12\r\n\r\n{{\"amount\":1}}"),
        format!("{DEPOSIT}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{\"amount\":1}}\r\n0\r\n\r\n"),
        format!(
            "{DEPOSIT}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{{\"amount\":1}}\r\n0\r\n\r\n"
        ),
        DEPOSIT.replace("Host: localhost", "Host : localhost") + "Content-Length: 12\r\n\r\n{\"amount\":1}",
        DEPOSIT.replace("Host: localhost\r\n", "Host: localhost\r\n folded\r\n")
            + "Content-Length: 12\r\n\r\n{\"amount\":1}",
        DEPOSIT.replace("HTTP/1.1", "HTTP/9.9") + "Content-Length: 12\r\n\r\n{\"amount\":1}",
        DEPOSIT.replace("Host: localhost", "Ho\0st: localhost") + "Content-Length: 12\r\n\r\n{\"amount\":1}",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(200)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n\r\n", "a".repeat(200_000)),
    ];
    for frame in frames {
        let head = frame[..frame.floor_char_boundary(200)].to_owned();
        let address = server.address;
        let answer = tokio::task::spawn_blocking(move || exchange(address, frame.as_bytes())).await.unwrap();
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1, "a second request was read out of {head:?}: {answer}");
        assert!(statuses.iter().all(|status| (400..500).contains(status)), "{head:?}: {answer}");
    }
    assert_eq!(api.balance(1).await, (100, 0));
    assert_eq!(api.history(1).await.len(), 1);
}

#[tokio::test]
async fn a_body_shorter_or_longer_than_announced_has_no_effect_of_its_own() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let address = server.address;
    let short = format!("{DEPOSIT}Content-Length: 500\r\n\r\n{{\"amount\":1}}");
    let answer = tokio::task::spawn_blocking(move || exchange(address, short.as_bytes())).await.unwrap();
    assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{answer}");
    let long = format!("{DEPOSIT}Content-Length: 10\r\nConnection: close\r\n\r\n{{\"amount\":1}}");
    let answer = tokio::task::spawn_blocking(move || exchange(address, long.as_bytes())).await.unwrap();
    assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{answer}");
    assert_eq!(server.api.get("/users/1/balance").await.status, 404);
}

/// Callers that dribble their request must not keep others waiting, nor keep their connection.
#[tokio::test]
async fn slow_callers_are_cut_off_and_hold_up_nobody() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let address = server.address;
    let mut slow: Vec<_> = (0..200)
        .map(|caller| {
            let mut stream = TcpStream::connect(address).unwrap();
            let text = if caller % 2 == 0 {
                DEPOSIT.to_owned()
            } else {
                format!("{DEPOSIT}Content-Length: 12\r\n\r\n{{")
            };
            stream.write_all(text.as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        let started = Instant::now();
        server.api.post("/users/2/deposits", json!({"amount": 1})).await.expect(201);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    tokio::task::spawn_blocking(move || {
        for stream in &mut slow {
            stream.set_read_timeout(Some(deadline.saturating_duration_since(Instant::now()))).unwrap();
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "still open: {error}");
                        break;
                    }
                }
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(server.api.get("/users/1/balance").await.status, 404);
}

/// What the process has open, connections among it.
async fn open_files(server: &Server) -> u32 {
    let text = server.api.get_raw("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("process_open_fds "));
    line.unwrap().parse().unwrap()
}

/// Callers that ask for much and read nothing must not keep their connection either.
#[tokio::test]
async fn callers_that_never_read_are_cut_off() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let before = open_files(&server).await;
    let ask = "GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(16);
    let unread: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(ask.as_bytes()).unwrap();
            stream
        })
        .collect();
    let started = Instant::now();
    while open_files(&server).await < before + 50 {
        assert!(started.elapsed() < Duration::from_secs(5), "they were never taken on");
    }
    while open_files(&server).await >= before + 5 {
        assert!(started.elapsed() < Duration::from_secs(40), "they are still there");
        server.api.deposit(1, 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(unread);
}
