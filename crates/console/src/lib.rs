//! The console: pages for support and accounting, rendered here and read in any browser.
//!
//! A driving adapter beside the HTTP contract. It has no rules of its own: it asks the ledger, the catalogue and
//! the reports as the API does, with the same keys, scopes and quotas. Every page works without a script; acting is
//! three plain requests, a form, a check page that shows what would happen, and the deed under the key that the
//! check page made.
//!
//! Reading order: [`visit`] (who asks, and whether they may), [`pages`] (one module per page), [`shell`] (what all
//! pages have), [`text`] (every word in both languages).

mod act;
mod assets;
mod chart;
mod console;
mod failure;
mod fields;
mod language;
mod money;
mod names;
mod pages;
mod position;
mod session;
mod shell;
mod text;
mod visit;
mod words;

pub use console::{Console, ConsoleMode, Live, LiveFigures, pages};
pub use session::{Gate, Refused, Session};
