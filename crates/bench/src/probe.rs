//! What a lone request has to wait for, measured separately on the same machine at the same time: how long the
//! device under a folder takes to make 8 kB durable, and how long a database takes for an empty answer.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio_postgres::{Client, NoTls, Statement};

const PAGE: [u8; 8192] = [0x5a; 8192];
const PAGES: u64 = 8;

/// The median time of one 8 kB write with fdatasync, of 64.
pub(crate) fn fdatasync(folder: &Path) -> anyhow::Result<Duration> {
    let mut flush = Flush::in_folder(folder)?;
    let mut times = Vec::with_capacity(64);
    for _ in 0..64 {
        times.push(flush.time()?);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// A file whose few pages are written over and flushed in turn, as those of a write-ahead log are.
pub(crate) struct Flush {
    file: File,
    turn: u64,
}

impl Flush {
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        // The size of the file is not to change any more: that would be a second thing to make durable.
        for _ in 0..PAGES {
            file.write_all(&PAGE)?;
        }
        file.sync_all()?;
        Ok(Self { file, turn: 0 })
    }

    pub(crate) fn time(&mut self) -> std::io::Result<Duration> {
        let start = Instant::now();
        self.file.seek(SeekFrom::Start(self.turn % PAGES * 8192))?;
        self.file.write_all(&PAGE)?;
        self.file.sync_data()?;
        self.turn += 1;
        Ok(start.elapsed())
    }
}

/// A connection to PostgreSQL of the kind that the service has, and a prepared statement that asks nothing.
pub(crate) struct RoundTrip {
    client: Client,
    statement: Statement,
}

impl RoundTrip {
    pub(crate) async fn to(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
        tokio::spawn(connection);
        let statement = client.prepare("SELECT 1").await?;
        Ok(Self { client, statement })
    }

    pub(crate) async fn time(&self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.client.query_one(&self.statement, &[]).await?;
        Ok(start.elapsed())
    }
}
