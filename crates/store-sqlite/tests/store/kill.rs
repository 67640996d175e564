//! A process that is killed in the middle of its work leaves every answer it gave, and no lock.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
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
        answered = kill_after_some_answers(&path, answered);
        let store = open(&path);
        let (available, _) = balance(&store, 1, 0).await.unwrap();
        assert!(available >= answered, "{answered} batches were answered, {available} are there");
        assert!(available <= answered + 1, "at most one batch was under way");
        assert_eq!(audited(&store).await.paid_in, i128::from(available) * 10);
        answered = available;
    }
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

fn kill_after_some_answers(path: &Path, answered_before: i64) -> i64 {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["kill::answers_survive_a_killed_process", "--exact", "--nocapture"])
        .env(VICTIM_FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = answered_before;
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut note = |line: String| {
        if let Some(count) = line.strip_prefix("answered ") {
            answered = count.parse().unwrap();
        }
    };
    for line in lines.by_ref().take(60) {
        note(line.unwrap());
    }
    victim.kill().unwrap();
    // What was said before the kill took effect counts as well.
    lines.map_while(Result::ok).for_each(&mut note);
    victim.wait().unwrap();
    answered
}
