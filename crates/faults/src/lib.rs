//! Fault tests on real processes, for anyone to run: a load client that records what it saw, a checker that
//! judges the history, a proxy that cuts the connection to PostgreSQL at any message, a supervisor that kills
//! and stops processes, and sabotaged ledgers that prove the checker.
//!
//! Start with `docs/faults.md`; the runs are in [`runs`], the conditions in [`checker`].

pub mod checker;
pub mod final_state;
pub mod follower;
pub mod history;
pub mod load;
pub mod pgproxy;
pub mod report;
pub mod runs;
pub mod sabotage;
pub mod supervisor;
pub mod target;
