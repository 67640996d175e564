//! Callers without a key, who mean harm: what they can make the service hold, and for how long.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::harness::{Server, Store, World};

/// The shortest request that is answered.
const TINY: &str = "GET / HTTP/1.1\r\nHost:\r\n\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads until the service closes; what it said, and how long that took.
fn until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let (started, mut said) = (Instant::now(), Vec::new());
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&piece[..read]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "still open: {error}");
                break;
            }
        }
    }
    (String::from_utf8_lossy(&said).into_owned(), started.elapsed())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn figure(server: &Server, name: &str) -> f64 {
    let text = server.api.get_raw("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not there")).trim().parse().unwrap()
}

/// Requests that nobody waits for the answers of: each socket may make the service hold one of them.
#[tokio::test]
async fn pipelined_requests_take_no_memory() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    server.api.deposit(1, 1).await;
    let before = figure(&server, "process_resident_memory_bytes ").await;
    let address = server.address;
    let sockets: Vec<_> = blocking(move || {
        let send = |_| {
            let mut stream = connect(address);
            stream.set_nonblocking(true).unwrap();
            // As much of it as the system takes.
            let _ = stream.write(TINY.repeat(5_600).as_bytes());
            stream
        };
        (0..60).map(send).collect()
    })
    .await;
    let mut most = before;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        most = most.max(figure(&server, "process_resident_memory_bytes ").await);
    }
    let grown = (most - before) / f64::from(1 << 20);
    println!("60 sockets with 140 kB of requests each: {grown:.1} MiB more");
    assert!(grown < 60.0, "{grown} MiB");
    drop(sockets);
}

/// Pipelining itself works: every request is answered, in order, and none behind the one that says it is the last.
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order_up_to_the_last() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let address = server.address;
    let deposit = |key: usize, more: &str| {
        format!(
            "POST /api/v1/users/1/deposits HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\n{more}\
             Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{\"amount\":1}}"
        )
    };
    let mut all: String = (0..50).map(|key| deposit(key, "")).collect();
    all.push_str(&deposit(50, "Connection: close\r\n"));
    all.push_str(&deposit(51, ""));
    let (said, _) = blocking(move || {
        let mut stream = connect(address);
        stream.write_all(all.as_bytes()).unwrap();
        until_closed(&mut stream)
    })
    .await;
    assert_eq!(said.matches("HTTP/1.1 201").count(), 51, "{said}");
    let order: Vec<_> = said.match_indices("\"seq\":").map(|(at, _)| &said[at + 6..at + 9]).collect();
    assert!(order.windows(2).all(|pair| pair[0].trim_end_matches(',').len() <= pair[1].len()), "{order:?}");
    assert_eq!(server.api.balance(1).await, (51, 0), "nothing is executed behind `Connection: close`");
}

#[tokio::test]
async fn heads_are_bounded_and_lines_end_as_they_must() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let address = server.address;
    for (head, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(16_300)), "404"),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(16_400)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "a".repeat(100_000)), "431"),
        ("GET / HTTP/1.1\nHost: localhost\n\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: y\n\r\n".to_owned(), "400"),
    ] {
        let shown: String = head.chars().take(40).collect();
        let said = blocking(move || {
            let mut stream = connect(address);
            // The service may have answered and closed before it has read everything.
            drop(stream.write_all(head.as_bytes()));
            drop(stream.shutdown(std::net::Shutdown::Write));
            until_closed(&mut stream).0
        })
        .await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {said:?}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{shown:?}: {said:?}");
    }
    let ended = figure(&server, "balance_http_connections_ended_total{reason=\"head_too_large\"} ").await;
    assert!((ended - 2.0).abs() < 0.1, "{ended}");
    let ended = figure(&server, "balance_http_connections_ended_total{reason=\"malformed\"} ").await;
    assert!((ended - 2.0).abs() < 0.1, "{ended}");
}

/// A client that was answered and does not send the rest of the request has the same deadline as any other, on the
/// first request of a connection and on later ones.
#[tokio::test]
async fn no_answer_lets_a_caller_stay() {
    let world =
        World::new(Store::Sqlite).with("BALANCE_ADMIN_KEY", &format!("bal_0123456789ab_{}", "0".repeat(64)));
    let server = world.start();
    let address = server.address;
    let host = "Host: localhost\r\n";
    let key = format!("Authorization: Bearer bal_0123456789ab_{}\r\n", "0".repeat(64));
    let json = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let ask = format!("GET /health/live HTTP/1.1\r\n{host}\r\n");
    let firsts = [
        (format!("POST /nix HTTP/1.1\r\n{host}{chunked}"), "404"),
        (format!("GET /health/live HTTP/1.1\r\n{host}{chunked}"), "200"),
        (format!("POST /api/v1/users/1/deposits HTTP/1.1\r\n{host}{json}{chunked}"), "401"),
        (format!("POST /api/v1/users/1/deposits HTTP/1.1\r\n{host}{json}{key}{chunked}"), "408"),
        (
            format!(
                "POST /api/v1/users/1/deposits HTTP/1.1\r\n{host}{json}{key}{chunked}10001\r\n{}",
                "x".repeat(65_537)
            ),
            "413",
        ),
        (
            format!("POST /api/v1/users/1/deposits HTTP/1.1\r\n{host}{json}{key}Content-Length: 9\r\n\r\n{{"),
            "408",
        ),
        (format!("POST /api/v1/users/1/deposits HTTP/1.1\r\n{host}"), "408"),
        (format!("POST /nix HTTP/1.1\r\n{host}Content-Length: 1000000\r\n\r\n"), "404"),
    ];
    let mut talks = Vec::new();
    for (request, status) in firsts {
        for before in ["", ask.as_str(), &ask.repeat(3)] {
            // A byte of the body a second, too: that is not a sign of life.
            for dribble in [false, true] {
                let sent = format!("{before}{request}");
                let talk = move || {
                    let mut stream = connect(address);
                    stream.write_all(sent.as_bytes()).unwrap();
                    let mut dribbling = stream.try_clone().unwrap();
                    if dribble {
                        std::thread::spawn(move || {
                            while dribbling.write_all(b"1").is_ok() {
                                std::thread::sleep(Duration::from_secs(1));
                            }
                        });
                    }
                    let (said, took) = until_closed(&mut stream);
                    assert!(took < Duration::from_secs(8), "{sent:?} {dribble}: {took:?}");
                    let last = said.rsplit("HTTP/1.1 ").next().unwrap();
                    // A byte that is no size of a chunk is refused, too.
                    assert!(last.starts_with(status) || dribble, "{sent:?}: {said:?}");
                };
                talks.push(tokio::task::spawn_blocking(talk));
            }
        }
    }
    for talk in talks {
        talk.await.unwrap();
    }
    for reason in ["head_timeout", "body_timeout"] {
        let ended =
            figure(&server, &format!("balance_http_connections_ended_total{{reason=\"{reason}\"}} ")).await;
        assert!(ended >= 1.0, "{reason} {ended}");
    }
}

/// As many of them as there are connections: others get in again as soon as the deadlines are over.
#[tokio::test]
async fn nobody_is_locked_out_for_long() {
    let world = World::new(Store::Sqlite).with("BALANCE_HTTP__CONNECTIONS_MAX", "40");
    let server = world.start();
    let address = server.address;
    let held: Vec<_> = blocking(move || {
        let hold = |_| {
            let mut stream = connect(address);
            stream
                .write_all(b"POST /nix HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
                .unwrap();
            stream
        };
        (0..42).map(hold).collect()
    })
    .await;
    let started = Instant::now();
    let said = blocking(move || {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        until_closed(&mut stream).0
    })
    .await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    drop(held);
}

/// A little of an answer now and then does not keep a connection for ever either.
#[tokio::test]
async fn who_takes_an_answer_byte_by_byte_is_cut_off() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let address = server.address;
    let ask = "GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
    let took = blocking(move || {
        let mut stream = connect(address);
        stream.write_all(ask.as_bytes()).unwrap();
        let started = Instant::now();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            // The kernel has much of it by then; once that is taken there must be an end.
            std::thread::sleep(Duration::from_millis(300));
            if started.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        started.elapsed()
    })
    .await;
    println!("after {took:?}");
    let ended = figure(&server, "balance_http_connections_ended_total{reason=\"unread\"} ").await;
    assert!((ended - 1.0).abs() < 0.1, "{ended}");
}

/// What a flood of refused requests leaves in the log is a few lines a second, and their number.
#[tokio::test]
async fn refused_requests_fill_no_disk() {
    const CALLERS: usize = 8;
    let admin = format!("bal_0123456789ab_{}", "0".repeat(64));
    let world = World::new(Store::Sqlite).with("BALANCE_ADMIN_KEY", &admin);
    let server = world.start();
    let address = server.address;
    let wrong = format!("bal_0123456789ab_{}", "1".repeat(64));
    let unknown = format!("bal_ffffffffffff_{}", "1".repeat(64));
    let long = "x".repeat(15_000);
    let requests: String = [wrong.as_str(), unknown.as_str(), long.as_str(), "", wrong.as_str()]
        .iter()
        .map(|key| format!("GET /api/v1/services HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\n\r\n"))
        .chain([TINY.to_owned()])
        .collect();
    let flood = (0..CALLERS).map(|_| {
        let requests = requests.clone();
        blocking(move || {
            let mut stream = connect(address);
            let mut reading = stream.try_clone().unwrap();
            let reader = std::thread::spawn(move || until_closed(&mut reading).0);
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                stream.write_all(requests.as_bytes()).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            reader.join().unwrap()
        })
    });
    let began = Instant::now();
    let said = futures_of(flood).await.concat();
    let seconds = began.elapsed().as_secs() + 1;
    let count = |status: &str| said.matches(&format!("HTTP/1.1 {status}")).count();
    let (unauthenticated, limited, not_found) = (count("401"), count("429"), count("404"));
    println!("{unauthenticated} x 401, {limited} x 429, {not_found} x 404");
    assert!(limited > 20 * unauthenticated, "{unauthenticated} {limited}");
    // A caller with the key is let in from the same address all the same.
    assert_eq!(server.api.with_token(&admin).get("/services").await.status, 200);
    // The sum is written every five seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(server.stop().success());
    let written = std::fs::read_dir(world.folder().join("logs")).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(written.path()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Ten a second of each of three codes, ten more of each at once, the sums, and what starting and stopping say.
    let requests = unauthenticated + limited + not_found;
    let bound = usize::try_from(3 * 10 * (seconds + 1) + 3 * (seconds / 5 + 2) + 40).unwrap();
    assert!(requests > 20 * bound, "{requests} requests in {seconds} s");
    assert!(lines.len() < bound, "{} lines for {requests} requests in {seconds} s", lines.len());
    let of = |code: &'static str| lines.iter().filter(move |line| line["code"] == code);
    let one = of("unauthenticated").find(|line| line["key_id"] == "0123456789ab").unwrap();
    assert_eq!((&one["peer"], &one["status"]), (&"127.0.0.1".into(), &401.into()), "{one}");
    let reported = |code: &'static str| {
        let summed: u64 = of(code).filter_map(|line| line["requests"].as_u64()).sum();
        summed + of(code).filter(|line| line["requests"].is_null()).count() as u64
    };
    assert_eq!(reported("rate_limited"), limited as u64);
    assert_eq!(reported("unauthenticated"), unauthenticated as u64);
    assert_eq!(reported("route_not_found"), not_found as u64);
}

async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut done = Vec::new();
    for one in all.map(Box::pin).collect::<Vec<_>>() {
        done.push(one.await);
    }
    done
}

/// However many ask whether it is ready, the store is asked once a second, and those who ask politely are answered.
#[tokio::test]
async fn readiness_cannot_be_turned_red_from_outside() {
    let world = World::new(Store::Postgres);
    let server = world.start();
    server.api.until_ready(200).await;
    let address = server.address;
    let ask = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500);
    let sockets: Vec<_> = blocking(move || {
        let send = |_| {
            let mut stream = connect(address);
            stream.set_nonblocking(true).unwrap();
            let _ = stream.write(ask.as_bytes());
            stream
        };
        (0..200).map(send).collect()
    })
    .await;
    for _ in 0..10 {
        let started = Instant::now();
        assert_eq!(server.api.get_raw("/health/ready").await.status, 200);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(sockets);
}

/// Operators have a door of their own.
#[tokio::test]
async fn health_answers_at_an_address_of_its_own_when_the_house_is_full() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new(Store::Sqlite)
        .with("BALANCE_HTTP__CONNECTIONS_MAX", "10")
        .with("BALANCE_ADMIN_LISTEN", &free.to_string());
    let server = world.start();
    server.api.deposit(1, 1).await;
    for page in ["/metrics", "/health/live", "/health/ready", "/openapi.json", "/swagger/index.html"] {
        assert_eq!(server.api.get_raw(page).await.status, 404, "{page}");
    }
    let address = server.address;
    let held: Vec<_> = blocking(move || (0..12).map(|_| connect(address)).collect()).await;
    let admin = crate::harness::Api::new(format!("http://{free}"));
    for page in ["/metrics", "/health/live", "/health/ready", "/openapi.json", "/swagger/index.html"] {
        let started = Instant::now();
        assert_eq!(admin.get_raw(page).await.status, 200, "{page}");
        assert!(started.elapsed() < Duration::from_secs(2), "{page}: {:?}", started.elapsed());
    }
    assert_eq!(admin.get("/users/1/balance").await.status, 404, "nothing of the API is there");
    drop(held);
    assert!(server.stop().success());
}
