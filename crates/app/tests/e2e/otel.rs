//! Traces, from the real binary to a collector: what is sent, what never is, and that nobody waits for it.
//!
//! Needs a binary with the feature: `cargo test -p balance-app --features otel --test otel`; `./test` does so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, unused_imports, reason = "shared with the other end-to-end tests, which use all of it")]
mod harness;

mod otel {
    mod collector;
    mod outage;
    mod sampling;
    mod spans;
}
