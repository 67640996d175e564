//! Runs a private PostgreSQL until it is stopped with Ctrl-C, and prints its process id and URL: for a look
//! around, for demonstrations, for trying statements.

use std::{io::Write, thread, time::Duration};

use balance_postgres_harness::{Options, Server};

fn main() -> std::io::Result<()> {
    let server = Server::start(Options::default());
    let mut out = std::io::stdout();
    writeln!(out, "{} {}", server.pid(), server.url("postgres"))?;
    out.flush()?;
    loop {
        thread::sleep(Duration::from_mins(1));
    }
}
