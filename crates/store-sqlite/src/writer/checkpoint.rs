//! Copies the log back into the file: the bulk of it on a thread of its own, beside the writer.
//!
//! The log can only begin anew when all of it has been copied, and while the thread copies, the writer appends. So
//! a round has two parts: the thread copies what is there and what has come since, until that is little; then the writer
//! copies the rest, and the next commit starts the log from its beginning. SQLite's own check-points are off: they ignore a failed
//! sync and would let the log, the last good copy, be overwritten.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
};

use balance_domain::ports::RepoError;
use rusqlite::Connection;

use super::Broken;
use crate::{
    connection::open_writer,
    error::{is_failed_sync, repo_error},
};

/// Pages in the log at which a round begins: 128 MiB. Large enough that a page which many commits touch is copied
/// once, small enough that readers search the log quickly, and that a crash is recovered from within a second.
const LOG_PAGES_MAX: u32 = 32_768;

/// Pages that the writer may be left with: 4 MiB.
const REST_PAGES: u32 = 1_024;

/// How often the thread copies in a round at most, should the writer be as quick as the thread is.
const COPIES_MAX: usize = 4;

/// The writer's side.
pub(super) struct Checkpoints {
    /// Pages in the log after the last commit, told by SQLite.
    log_pages: Arc<AtomicU32>,
    log_pages_before: u32,
    /// The length of the log at which the next round begins. Past [`LOG_PAGES_MAX`] while somebody reads an
    /// old moment: the log cannot begin anew before that read is over.
    pub(super) due_at: u32,
    /// [`LOG_PAGES_MAX`], less in tests.
    pub(super) round_pages: u32,
    is_copying: bool,
    begin: Option<SyncSender<()>>,
    copied: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    broken: Broken,
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own.
    pub(super) fn start(path: &Path, writer: &mut Connection, broken: Broken) -> Result<Self, RepoError> {
        let log_pages = count_log_pages(writer).map_err(repo_error)?;
        let connection = open_writer(path)?;
        let (begin, orders) = sync_channel(1);
        let (done, copied) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sqlite-log".to_owned())
            .spawn({
                let (broken, log_pages) = (broken.clone(), Arc::clone(&log_pages));
                move || {
                    while orders.recv().is_ok() {
                        copy_most(&connection, &log_pages, &broken);
                        if done.send(()).is_err() {
                            return;
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
            is_copying: false,
            begin: Some(begin),
            copied,
            thread: Some(thread),
            broken,
        })
    }

    /// Takes the next step of a round, if one is due. Called between transactions, after the answers.
    pub(super) fn advance(&mut self, writer: &Connection) {
        let log_pages = self.log_pages.load(Ordering::Relaxed);
        if log_pages < self.log_pages_before {
            self.due_at = self.round_pages;
        }
        self.log_pages_before = log_pages;
        if self.is_copying {
            self.finish_round(writer, log_pages);
        } else if log_pages >= self.due_at {
            self.is_copying = self.begin.as_ref().is_some_and(|begin| begin.try_send(()).is_ok());
        }
    }

    fn finish_round(&mut self, writer: &Connection, log_pages: u32) {
        match self.copied.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                self.broken.set("the thread that copies the log has ended".into());
            }
            Ok(()) if self.broken.check().is_ok() => {
                copy_log(writer, &self.broken);
            }
            Ok(()) => {}
        }
        self.is_copying = false;
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

/// Copies until little is left: each time only what came during the time before.
fn copy_most(connection: &Connection, log_pages: &AtomicU32, broken: &Broken) {
    for _ in 0..COPIES_MAX {
        let Some(copied) = copy_log(connection, broken) else { return };
        if log_pages.load(Ordering::Relaxed).saturating_sub(copied) <= REST_PAGES {
            return;
        }
    }
}

/// Copies, and tells how many pages of the log have been copied now; `None` if that failed. Waits for nobody: pages that a
/// reader or the other side still needs stay for the next round.
fn copy_log(connection: &Connection, broken: &Broken) -> Option<u32> {
    match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get("checkpointed")) {
        Ok(copied) => return copied,
        Err(error) if is_failed_sync(&error) => broken.set(error.into()),
        Err(error) => tracing::warn!(%error, "the log could not be copied back; trying again later"),
    }
    None
}
