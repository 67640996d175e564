//! How fast the device under a folder makes 8 kB durable: printed beside every figure, because it moves.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

/// The median time of one 8 kB write with fdatasync, of 64.
pub(crate) fn fdatasync(folder: &Path) -> anyhow::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let page = [0x5a_u8; 8192];
    let mut times = Vec::with_capacity(64);
    for turn in 0..64 {
        times.push(one(&mut file, turn % 8, &page)?);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn one(file: &mut File, page_number: u64, page: &[u8]) -> std::io::Result<Duration> {
    let start = Instant::now();
    file.seek(SeekFrom::Start(page_number * 8192))?;
    file.write_all(page)?;
    file.sync_data()?;
    Ok(start.elapsed())
}
