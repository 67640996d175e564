//! Copies the log back into the file: the bulk of it on a thread of its own, beside the writer.
//!
//! The log can only restart when all of it has been copied, and while the thread copies, the writer appends. So a
//! round has two parts: the thread copies what is there, repeatedly, until little is left or the bound is reached;
//! then the writer copies the rest, and the next commit starts the log from its beginning.
//!
//! SQLite flushes the file only at the end of a copy that reaches the end of the log, which under load is the
//! writer's. So the thread flushes what it has copied, and little of that is left to the writer.
//!
//! SQLite's own checkpoints are off: they ignore a failed sync and would let the log, the last good copy, be
//! overwritten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use balance_domain::ports::RepoError;
use rusqlite::Connection;

use super::Health;
use crate::{
    connection::open_writer,
    error::{is_failed_sync, repo_error},
};

/// Pages in the log at which a round begins: 128 MiB. Large enough that a page which many commits touch is copied
/// once, small enough that readers search the log quickly, and that a crash is recovered from within a second.
const LOG_PAGES_MAX: u32 = 32_768;

/// Pages that are little enough for the writer: 4 MiB.
const REST_PAGES_MAX: u32 = 1_024;

/// How often the thread copies in a round at most, should the writer append as quickly.
const COPIES_MAX: usize = 4;

/// How often the thread looks whether the file is still where it was, should nobody write.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The writer's side.
pub(super) struct Checkpoints {
    /// Pages in the log after the last commit, reported by SQLite.
    log_pages: Arc<AtomicU32>,
    log_pages_before: u32,
    /// The length of the log at which the next round begins. Past [`LOG_PAGES_MAX`] during a long read: the log
    /// cannot restart before that read is over.
    pub(super) due_at: u32,
    /// [`LOG_PAGES_MAX`], less in tests.
    pub(super) round_pages: u32,
    /// [`REST_PAGES_MAX`], less in tests.
    pub(super) rest_pages: u32,
    /// How many copies the thread was asked to make in this round; 0 between rounds.
    copies: usize,
    begin: Option<SyncSender<()>>,
    /// Pages of the log that have been copied, after every copy; `None` where it failed.
    copied: Receiver<Option<u32>>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own.
    pub(super) fn start(writer: &mut Connection, health: Arc<Health>) -> Result<Self, RepoError> {
        let log_pages = count_log_pages(writer).map_err(repo_error)?;
        let connection = open_writer(health.path())?;
        let (begin, orders) = sync_channel(1);
        let (done, copied) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sqlite-log".to_owned())
            .spawn({
                let health = Arc::clone(&health);
                move || {
                    loop {
                        match orders.recv_timeout(WATCH_EVERY) {
                            Ok(()) if done.send(copy_and_flush(&connection, &health)).is_ok() => {}
                            // Says so in the log the first time.
                            Err(RecvTimeoutError::Timeout) => drop(health.check()),
                            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                        }
                    }
                }
            })
            .map_err(|error| RepoError::Unavailable(error.into()))?;
        Ok(Self {
            log_pages,
            log_pages_before: 0,
            due_at: LOG_PAGES_MAX,
            round_pages: LOG_PAGES_MAX,
            rest_pages: REST_PAGES_MAX,
            copies: 0,
            begin: Some(begin),
            copied,
            thread: Some(thread),
            health,
        })
    }

    /// Takes the next step of a round, if one is due. Called between transactions, after the answers.
    pub(super) fn advance(&mut self, writer: &Connection) {
        let log_pages = self.log_pages();
        if log_pages < self.log_pages_before {
            self.due_at = self.round_pages;
        }
        self.log_pages_before = log_pages;
        if self.copies > 0 {
            self.go_on(writer, log_pages);
        } else if log_pages >= self.due_at {
            self.order_copy();
        }
    }

    /// Pages in the log now.
    pub(super) fn log_pages(&self) -> u32 {
        self.log_pages.load(Ordering::Relaxed)
    }

    fn order_copy(&mut self) {
        if self.begin.as_ref().is_some_and(|begin| begin.try_send(()).is_ok()) {
            self.copies += 1;
        }
    }

    /// Has the thread copy once more where much has come meanwhile; otherwise ends the round.
    fn go_on(&mut self, writer: &Connection, log_pages: u32) {
        let copied = match self.copied.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                self.health.set_broken("the thread that copies the log has ended".into());
                None
            }
            Ok(copied) => copied,
        };
        let is_much = copied.is_some_and(|copied| log_pages.saturating_sub(copied) > self.rest_pages);
        if is_much && self.copies < COPIES_MAX {
            return self.order_copy();
        }
        if self.health.check().is_ok() {
            copy_log(writer, &self.health);
        }
        self.copies = 0;
        self.due_at = log_pages.saturating_add(self.round_pages);
    }
}

/// Waits for the copy that is under way, so that the writer's connection is the last to close.
impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Has the connection count the pages of its log, commit by commit.
fn count_log_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    let pages = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        counter.store(pages.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(pages)
}

/// Copies, and flushes the file. Tells like [`copy_log`].
fn copy_and_flush(connection: &Connection, health: &Health) -> Option<u32> {
    let copied = copy_log(connection, health)?;
    if let Err(error) = health.flush() {
        health.set_broken(error.into());
        return None;
    }
    Some(copied)
}

/// Copies, and tells how many pages of the log have been copied by now; `None` if it could not. Waits for nobody: pages
/// that a reader or the other side still needs stay for the next round.
fn copy_log(connection: &Connection, health: &Health) -> Option<u32> {
    // Less than nothing where another process copies at this moment.
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>("checkpointed"))
    {
        Ok(copied) => return copied.try_into().ok(),
        Err(error) if is_failed_sync(&error) => health.set_broken(error.into()),
        Err(error) => tracing::warn!(%error, "the log could not be copied back; trying again later"),
    }
    None
}
