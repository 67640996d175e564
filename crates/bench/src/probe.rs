//! What a lone request has to wait for, measured apart on the same machine at the same time: how fast the device
//! under a folder makes 8 kB durable, and how long a database takes to answer nothing.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio_postgres::NoTls;

/// The median time of one 8 kB write with fdatasync, of 64.
pub(crate) fn fdatasync(folder: &Path) -> anyhow::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let page = [0x5a_u8; 8192];
    let mut times = Vec::with_capacity(64);
    for turn in 0..64 {
        times.push(one(&mut file, turn % 8, &page)?);
    }
    Ok(middle(times))
}

fn one(file: &mut File, page_number: u64, page: &[u8]) -> std::io::Result<Duration> {
    let start = Instant::now();
    file.seek(SeekFrom::Start(page_number * 8192))?;
    file.write_all(page)?;
    file.sync_data()?;
    Ok(start.elapsed())
}

/// The median time of one round trip to PostgreSQL, of 500: a prepared `SELECT 1` over a connection of the kind
/// that the service has.
pub(crate) fn round_trip(url: &str) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
        tokio::spawn(connection);
        let statement = client.prepare("SELECT 1").await?;
        let mut times = Vec::with_capacity(500);
        for _ in 0..500 {
            let start = Instant::now();
            client.query_one(&statement, &[]).await?;
            times.push(start.elapsed());
        }
        Ok(middle(times))
    })
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
