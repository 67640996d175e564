//! How far long work is. A bar hides itself where standard error is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of this length.
pub(crate) fn progress(length: u64, message: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:16} [{bar:30}] {human_pos}/{human_len} {eta}");
    ProgressBar::new(length)
        .with_message(message)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
