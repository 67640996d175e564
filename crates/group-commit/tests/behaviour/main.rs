//! What callers can rely on, on a paused clock and with a scripted store.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bounds;
mod failures;
mod fake;
mod lifecycle;
mod merging;
mod observed;
mod reads;
mod shares;
