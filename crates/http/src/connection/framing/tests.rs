//! Held against the decoder itself: what it is given never holds a second request, and never lacks a part of the first.

use actix_http::{
    ServiceConfig,
    h1::{Codec, Message},
};
use actix_web::web::BytesMut;
use proptest::{prelude::*, test_runner::TestRunner};
use tokio_util::codec::Decoder as _;

use super::*;

const MAX: usize = 16 * 1024;

/// How many bytes of a connection's first request are passed on, arriving in pieces of this size; `None` if the head
/// was refused, and whether the request is whole.
fn passed(bytes: &[u8], piece: usize) -> Option<(usize, bool)> {
    let (mut searched, mut until) = (0, 0);
    let (length, mut body) = loop {
        until = (until + piece).min(bytes.len());
        match head(&bytes[..until], searched, MAX) {
            Head::Whole(length, body) => break (length, body),
            Head::Partial if until == bytes.len() => return Some((0, false)),
            Head::Partial => searched = until,
            Head::Malformed | Head::TooLarge => return None,
        }
    };
    let taken: usize = bytes[length..].chunks(piece).map(|bytes| body.take(bytes)).sum();
    Some((length + taken, body.is_whole()))
}

/// How many requests the decoder finds before it needs more or refuses, and whether the first is whole.
fn decoded(config: &ServiceConfig, bytes: &[u8]) -> (usize, bool) {
    let mut codec = Codec::new(config.clone());
    let mut bytes = BytesMut::from(bytes);
    let (mut requests, mut is_whole) = (0, false);
    while let Ok(Some(message)) = codec.decode(&mut bytes) {
        match message {
            Message::Item(_) => {
                requests += 1;
                is_whole = matches!(codec.message_type(), actix_http::h1::MessageType::None);
            }
            Message::Chunk(None) => is_whole = true,
            Message::Chunk(Some(_)) => {}
        }
    }
    (requests, is_whole)
}

#[actix_web::test]
async fn a_request_ends_where_it_says() {
    let config = ServiceConfig::default();
    let next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding:  CHUNKED \r\n\r\n05 ;x=y\r\nhello\r\n1;z\r\n!\r\n00\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nExpires: never\r\nA: b\r\n\r\n",
    ] {
        let all = format!("{request}{next}");
        for piece in [1, 2, 3, 7, all.len()] {
            assert_eq!(passed(all.as_bytes(), piece), Some((request.len(), true)), "{request:?} by {piece}");
        }
        assert_eq!(decoded(&config, request.as_bytes()), (1, true), "{request:?}");
        assert_eq!(decoded(&config, all.as_bytes()), (2, true), "{request:?}");
    }
}

#[test]
fn heads_are_bounded_and_their_lines_end_properly() {
    for refused in
        ["GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\n"]
    {
        for piece in [1, refused.len()] {
            assert_eq!(passed(refused.as_bytes(), piece), None, "{refused:?}");
        }
    }
    let long = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - 27));
    for piece in [100, MAX * 2] {
        assert_eq!(passed(long(MAX).as_bytes(), piece), Some((MAX, true)));
        assert_eq!(passed(long(MAX + 1).as_bytes(), piece), None);
        assert_eq!(passed("\r\n".repeat(MAX).as_bytes(), piece), None);
    }
}

/// Pieces of requests, honest and otherwise.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "Host: x",
        "Content-Length: 5",
        "Content-Length: 0",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length : 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:chunked, x",
        "transfer-encoding: \tChunked",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Connection: upgrade",
        "Connection: close",
        "Expect: 100-continue",
        " folded",
        "X: y",
        "",
    ]);
    let first = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST / HTTP/1.1",
        "POST / HTTP/1.0",
        "CONNECT x:1 HTTP/1.1",
        "GET / HTTP/2.0",
        "junk",
        "",
    ]);
    let body = prop::sample::select(vec![
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "0\r\nT: v\r\n\r\n",
        "0\r\n\n\r\r\n\r\n",
        "ffffffffffffffff1\r\n",
        "5\r\nhello!\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n",
        "0 \t\r\n\r\n",
        "-1\r\n",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r"]);
    let lines = prop::collection::vec((line, end.clone()), 0..6);
    let request =
        (first, end, lines, prop::collection::vec(body, 0..4)).prop_map(|(first, end, lines, bodies)| {
            let lines: String = lines.into_iter().flat_map(|(line, end)| [line, end]).collect();
            format!("{first}{end}Host: y\r\n{lines}\r\n{}", bodies.concat())
        });
    let noise = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2);
    (prop::collection::vec(request, 1..4), noise).prop_map(|(requests, noise)| {
        let mut bytes = requests.concat().into_bytes();
        for (at, byte) in noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

#[actix_web::test]
async fn the_decoder_never_finds_a_second_request_in_what_it_is_given() {
    let config = ServiceConfig::default();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let check = |(bytes, piece): (Vec<u8>, usize)| {
        let Some((length, is_whole)) = passed(&bytes, piece) else { return Ok(()) };
        prop_assert_eq!(passed(&bytes, bytes.len()), Some((length, is_whole)), "depends on the pieces");
        let (requests, is_decoded) = decoded(&config, &bytes[..length]);
        prop_assert!(requests <= 1, "{requests} requests in {:?}", String::from_utf8_lossy(&bytes[..length]));
        // Whatever the decoder makes a whole request of, it is given whole, and called whole.
        let (all, _) = decoded(&config, &bytes);
        prop_assert!(all == 0 || requests == 1 || !is_whole);
        prop_assert!(is_whole || !is_decoded || requests == 0, "it would wait for what is there");
        Ok(())
    };
    runner.run(&(frames(), 1_usize..200), check).unwrap();
}
