//! Starts a private PostgreSQL for tests and measurements, from the binaries that are installed.
//!
//! A [`Server`] has its own data folder and port. It goes away with its value, and also when the process that
//! started it is killed: the server is the child of a small shell that waits for the end of a pipe. A missing
//! PostgreSQL fails the test that needs it, with the command that installs it.
//!
//! This is a test tool: whatever goes wrong panics with what to do about it.

mod binaries;
mod data;
mod identity;
mod server;

use std::sync::OnceLock;

pub use server::{Options, Server};

/// One server for the whole test binary: on tmpfs, without `fsync`. It ends with the process.
///
/// # Panics
///
/// If PostgreSQL is not installed or does not start.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(Options::default()))
}
