//! The runs: what is broken how often, under which load, and what must hold afterwards.

mod all;
mod cuts;
mod follow;
mod kills;
mod round;
mod round_trips;
mod stalls;
mod transfers;

use std::path::PathBuf;

pub use all::{Extent, all, sabotage, silently};
pub use cuts::commit_cuts;
pub use follow::follow;
pub use kills::{kill_database, kill_service};
pub use round_trips::every_round_trip;
pub use stalls::stalls;
pub use transfers::opposing_transfers;

/// What every run needs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The binary `balance`.
    pub binary: PathBuf,
    /// Everything random follows from it.
    pub seed: u64,
    /// Where histories and final states are written to, if anywhere.
    pub keep: Option<PathBuf>,
}

/// A progress bar on stderr; it hides itself where that is no terminal.
fn progress(run: &str, length: u64) -> indicatif::ProgressBar {
    let style =
        indicatif::ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} {elapsed}, {eta} left");
    let bar = indicatif::ProgressBar::new(length).with_message(run.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
