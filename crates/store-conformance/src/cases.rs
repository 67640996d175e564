//! The cases: one function per behaviour, one file per theme. A case panics where the store is wrong.
#![expect(clippy::missing_panics_doc, reason = "a case panics where the store is wrong")]

pub mod money;
