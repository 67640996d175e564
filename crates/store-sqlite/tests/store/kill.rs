//! A process that is killed in the middle of its work leaves every answer it gave, and no lock.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use balance_domain::Submission;

use crate::teller::{accept, audited, balance, deposit, money, open};

/// Set for the copy of this test binary that is to be killed: the file it works on.
const VICTIM_FILE: &str = "BALANCE_TEST_VICTIM_FILE";
const KILLS: i64 = 5;

#[expect(clippy::disallowed_methods, reason = "how the victim learns that it is one")]
fn victim_file() -> Option<String> {
    std::env::var(VICTIM_FILE).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_survive_a_killed_process() {
    if let Some(path) = victim_file() {
        return work_until_killed(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let mut answered = 0;
    for _ in 0..KILLS {
        answered = answered.max(killed_after(&path, 60));
        let store = open(&path);
        let (available, _) = balance(&store, 1, 0).await.unwrap();
        assert!(available >= answered, "{answered} batches were answered, {available} are there");
        assert!(available <= answered + 1, "at most one batch was under way");
        assert_eq!(audited(&store).await.paid_in, i128::from(available) * 10);
        answered = available;
    }
}

/// What the next process answers from was in the log alone, perhaps not even on the disk.
#[tokio::test]
async fn what_a_killed_process_left_in_the_log_is_in_the_file_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let answered = killed_after(&path, 60);
    assert!(length(&log_of(&path)) > 0, "the answers are in the log");
    let store = open(&path);
    assert_eq!(length(&log_of(&path)), 0, "nothing is left to be read out of the log");
    let file_alone = folder.path().join("alone.db");
    fs::copy(&path, &file_alone).unwrap();
    drop(store);
    assert!(balance(&open(&file_alone), 1, 0).await.unwrap().0 >= answered);
}

/// A backup may take minutes; the start does not wait for it. The log stays, and is written and flushed again.
#[tokio::test]
async fn a_log_with_a_reader_is_made_durable_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let answered = killed_after(&path, 60);
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM accounts").unwrap();
    let log = fs::read(log_of(&path)).unwrap();
    let written_at = || fs::metadata(log_of(&path)).unwrap().modified().unwrap();
    let before = written_at();
    let store = open(&path);
    assert!(written_at() > before, "it was written once more");
    assert_eq!(fs::read(log_of(&path)).unwrap(), log, "as it was");
    accept(&store, vec![money(deposit(1, 1), "after")], 0).await;
    assert!(balance(&store, 1, 0).await.unwrap().0 > answered);
    let money: i64 = reader.query_row("SELECT sum(available) FROM accounts", [], |row| row.get(0)).unwrap();
    assert_eq!(i128::from(money) + 1, audited(&store).await.paid_in, "the reader keeps its moment");
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Ten users get one unit each per batch; what batches there were already is read from the file. Says so after
/// every answer.
#[expect(clippy::print_stdout, reason = "this is how the parent counts answers")]
async fn work_until_killed(path: &Path) {
    let store = open(path);
    let mut done = balance(&store, 1, 0).await.map_or(0, |(available, _)| available);
    loop {
        let batch: Vec<Submission> =
            (1..=10).map(|user| money(deposit(user, 1), &format!("batch-{done}"))).collect();
        accept(&store, batch, 0).await;
        done += 1;
        println!("\nanswered {done}");
    }
}

/// Lets a process work on the file and kills it. How many batches it had answered by then, at least.
fn killed_after(path: &Path, lines: usize) -> i64 {
    let mut victim = Victim::start(path);
    victim.answers(lines);
    victim.kill()
}

/// A process that works on a file until it is killed.
pub(crate) struct Victim {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    answered: i64,
}

impl Victim {
    pub(crate) fn start(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["kill::answers_survive_a_killed_process", "--exact", "--nocapture"])
            .env(VICTIM_FILE, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, answered: 0 }
    }

    /// Reads as many lines; the batches that were answered by then.
    pub(crate) fn answers(&mut self, lines: usize) -> i64 {
        for _ in 0..lines {
            let line = self.lines.next().unwrap().unwrap();
            self.note(&line);
        }
        self.answered
    }

    /// Kills it. What it said before the kill took effect counts as well.
    pub(crate) fn kill(mut self) -> i64 {
        self.process.kill().unwrap();
        while let Some(Ok(line)) = self.lines.next() {
            self.note(&line);
        }
        self.process.wait().unwrap();
        self.answered
    }

    fn note(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("answered ") {
            self.answered = count.parse().unwrap();
        }
    }
}
