//! A relay between store and server that hangs up on the store: before the server gets what was sent, which it
//! delivers later, or after the server has answered.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU16, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
};

/// Lets everything pass until it has to hold something back.
pub(crate) struct Gate {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    holds: AtomicBool,
    loses_answer: AtomicBool,
    /// Where new connections lead to.
    upstream: AtomicU16,
    held: Mutex<Option<(Vec<u8>, TcpHalves)>>,
}

/// Both directions of the server's side, which stays open.
type TcpHalves = (OwnedWriteHalf, tokio::net::tcp::OwnedReadHalf);

impl Gate {
    /// Listens for stores, and passes on to the server on this port.
    pub(crate) async fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { upstream: upstream.into(), ..Shared::default() });
        let of_connections = shared.clone();
        tokio::spawn(async move {
            while let Ok((store, _)) = listener.accept().await {
                let upstream = of_connections.upstream.load(Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                tokio::spawn(pass(store, server, of_connections.clone()));
            }
        });
        Self { port, shared }
    }

    /// The next piece that a store sends is held back, and its connection closed on the store's side alone.
    pub(crate) fn hold_next(&self) {
        self.shared.holds.store(true, Ordering::SeqCst);
    }

    /// The next piece that a store sends is delivered, and its connection closed once the server has answered.
    pub(crate) fn lose_next_answer(&self) {
        self.shared.loses_answer.store(true, Ordering::SeqCst);
    }

    /// New connections lead to the server on this port; those that there are stay.
    pub(crate) fn lead_to(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Ordering::SeqCst);
    }

    /// A URL of the server, through this.
    pub(crate) fn url(&self, url: &str, upstream: u16) -> String {
        url.replace(&format!(":{upstream}/"), &format!(":{}/", self.port))
    }

    /// Delivers what was held back, and waits until the server has answered it.
    pub(crate) async fn let_go(&self) {
        // Panics if nothing was held back.
        let (piece, (mut to, mut from)) = self.shared.held.lock().unwrap().take().unwrap();
        to.write_all(&piece).await.unwrap();
        let answered = from.read(&mut [0; 4096]).await.unwrap();
        assert!(answered > 0, "the server had closed the connection");
    }
}

/// Store and server talk in turn, so one loop moves both directions.
async fn pass(store: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let ((mut from_store, mut to_store), (mut from_server, mut to_server)) =
        (store.into_split(), server.into_split());
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            Ok(read) = from_store.read(&mut up) => {
                if read == 0 {
                    return;
                }
                if shared.holds.swap(false, Ordering::SeqCst) {
                    *shared.held.lock().unwrap() = Some((up[..read].to_vec(), (to_server, from_server)));
                    return;
                }
                to_server.write_all(&up[..read]).await.unwrap();
                if shared.loses_answer.swap(false, Ordering::SeqCst) {
                    let _ = from_server.read(&mut down).await;
                    return;
                }
            }
            Ok(read) = from_server.read(&mut down) => {
                if read == 0 {
                    return;
                }
                to_store.write_all(&down[..read]).await.unwrap();
            }
            else => return,
        }
    }
}
