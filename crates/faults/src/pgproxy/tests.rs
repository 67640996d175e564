//! The proxy between a client and a server that are both played here.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::pgproxy::frames::{
    Frames,
    tests::{typed, untyped},
};

/// A server that notes the type of every message and answers each with one byte.
async fn server() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut frames = Frames::new(read);
                while let Ok(Some(frame)) = frames.next().await {
                    noted.lock().unwrap().push(frame.tag);
                    drop(write.write_all(b"!").await);
                }
            });
        }
    });
    (address, seen)
}

async fn client(proxy: &Proxy) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(&untyped(196_608, b"user\0postgres\0\0")).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
    client
}

async fn ask(client: &mut TcpStream, sql: &str) -> std::io::Result<u8> {
    client.write_all(&typed(b'Q', format!("{sql}\0").as_bytes())).await?;
    client.read_u8().await
}

fn commit(side: Side, fault: Fault) -> Rule {
    Rule { trigger: Trigger::Commit(1), side, fault }
}

#[tokio::test]
async fn without_a_rule_everything_passes() {
    let (upstream, seen) = server().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let mut client = client(&proxy).await;
    for sql in ["begin", "commit"] {
        assert_eq!(ask(&mut client, sql).await.unwrap(), b'!');
    }
    assert_eq!(*seen.lock().unwrap(), [0, b'Q', b'Q']);
    assert_eq!((proxy.fired(), proxy.messages(), proxy.commits()), (0, 3, 1));
}

#[tokio::test]
async fn a_cut_or_reset_before_the_commit_keeps_it_from_the_server_and_one_after_does_not() {
    for fault in [Fault::Cut, Fault::Reset] {
        for (side, expected) in [(Side::Before, vec![0, b'Q']), (Side::After, vec![0, b'Q', b'Q'])] {
            let (upstream, seen) = server().await;
            let proxy = Proxy::start(upstream).await.unwrap();
            let mut client = client(&proxy).await;
            proxy.arm(commit(side, fault));
            assert_eq!(ask(&mut client, "begin").await.unwrap(), b'!');
            let error = ask(&mut client, "commit").await.unwrap_err();
            if fault == Fault::Reset {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{side:?}");
            }
            assert_eq!(*seen.lock().unwrap(), expected, "{fault:?} {side:?}");
            assert_eq!(proxy.fired(), 1);
        }
    }
}

#[tokio::test]
async fn after_its_fault_a_rule_is_gone_and_new_connections_pass() {
    let (upstream, _) = server().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let mut first = client(&proxy).await;
    proxy.arm(Rule { trigger: Trigger::Message(2), side: Side::Before, fault: Fault::Cut });
    assert!(ask(&mut first, "select 1").await.is_ok());
    assert!(ask(&mut first, "select 2").await.is_err());
    let mut second = client(&proxy).await;
    for _ in 0..5 {
        assert!(ask(&mut second, "commit").await.is_ok());
    }
    assert_eq!(proxy.fired(), 1);
}

#[tokio::test]
async fn a_stall_holds_the_answer_and_lets_it_go() {
    for side in [Side::Before, Side::After] {
        let (upstream, seen) = server().await;
        let proxy = Proxy::start(upstream).await.unwrap();
        let mut client = client(&proxy).await;
        proxy.arm(commit(side, Fault::Stall(Duration::from_millis(120))));
        let started = Instant::now();
        assert_eq!(ask(&mut client, "commit").await.unwrap(), b'!');
        assert!(started.elapsed() >= Duration::from_millis(120), "{side:?}");
        assert_eq!(*seen.lock().unwrap(), [0, b'Q']);
    }
}

#[tokio::test]
async fn a_late_commit_lands_after_the_client_was_cut_off() {
    let (upstream, seen) = server().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let mut client = client(&proxy).await;
    proxy.arm(commit(Side::After, Fault::Late(Duration::from_millis(150))));
    assert!(ask(&mut client, "commit").await.is_err());
    assert_eq!(*seen.lock().unwrap(), [0], "not there yet");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(*seen.lock().unwrap(), [0, b'Q']);
}

#[tokio::test]
async fn all_connections_can_be_cut_and_messages_slowed() {
    let (upstream, _) = server().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let mut first = client(&proxy).await;
    proxy.slow_down(Duration::from_millis(60));
    let started = Instant::now();
    assert!(ask(&mut first, "select 1").await.is_ok());
    assert!(started.elapsed() >= Duration::from_millis(60));
    proxy.cut_all();
    assert!(first.read_u8().await.is_err());
}
