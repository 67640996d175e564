//! A TCP proxy that understands PostgreSQL's messages (protocol 3, no TLS) and breaks a connection exactly
//! at a given place: before or after any message of the client, or before or after its COMMIT.
//!
//! Faults are armed from the program ([`Proxy::arm`]) or on the command line (`balance-faults proxy`).

mod commit;
mod fault;
mod frames;
mod pump;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};

use fault::Armed;
pub use fault::{Fault, Rule, Side, Trigger};

/// A running proxy. Dropping it closes every connection.
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

/// What all connections of a proxy share.
#[derive(Default)]
struct Control {
    armed: Mutex<Option<Armed>>,
    /// Waited before every message that the client sends.
    delay: Mutex<Duration>,
    fired: AtomicU64,
    messages: AtomicU64,
    commits: AtomicU64,
    /// Asks the connections that are open to close when it changes.
    generation: tokio::sync::watch::Sender<u64>,
}

impl Control {
    fn armed(&self) -> MutexGuard<'_, Option<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message and returns what to do about it.
    fn meet(&self, tag: u8, is_commit: bool) -> Option<(Side, Fault)> {
        self.messages.fetch_add(1, Ordering::Relaxed);
        if is_commit {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        let mut armed = self.armed();
        let rule = armed.as_mut()?.meet(tag, is_commit)?;
        if armed.as_ref().is_some_and(Armed::is_spent) {
            *armed = None;
        }
        self.fired.fetch_add(1, Ordering::Relaxed);
        Some(rule)
    }

    fn delay(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes on to `upstream`.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), upstream).await
    }

    /// Listens at `address`.
    pub async fn start_at(address: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let control = Arc::new(Control::default());
        let accepting = tokio::spawn({
            let control = Arc::clone(&control);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(pump::connection(client, upstream, Arc::clone(&control)));
                }
            }
        });
        Ok(Self { address, control, accepting })
    }

    /// Where clients connect.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks something soon. Replaces what was armed before; counting starts now.
    pub fn arm(&self, rule: Rule) {
        *self.control.armed() = Some(Armed::new(rule));
    }

    /// Breaks nothing any more.
    pub fn disarm(&self) {
        *self.control.armed() = None;
    }

    /// Makes every message of the client wait: a slow network or database.
    pub fn slow_down(&self, delay: Duration) {
        *self.control.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// Closes every open connection.
    pub fn cut_all(&self) {
        self.control.generation.send_modify(|generation| *generation += 1);
    }

    /// How often something was broken.
    pub fn fired(&self) -> u64 {
        self.control.fired.load(Ordering::Relaxed)
    }

    /// How many messages clients have sent.
    pub fn messages(&self) -> u64 {
        self.control.messages.load(Ordering::Relaxed)
    }

    /// How many of them were a COMMIT.
    pub fn commits(&self) -> u64 {
        self.control.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}
