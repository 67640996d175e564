//! What callers can rely on, on a paused clock and with a store that does as it is told.

mod bounds;
mod failures;
mod fake;
mod lifecycle;
mod merging;
mod observed;
mod reads;
