//! The command that prints the table of targets, from end to end: a real service, a grown store beside an empty one,
//! tiny durations. The figures mean nothing here; the test is that every target has its line and the audits are clean.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const BENCH: &str = env!("CARGO_BIN_EXE_balance-bench");

/// The service of the same profile and folder. The whole workspace's tests have built it already; alone, this does.
fn service() -> PathBuf {
    let folder = Path::new(BENCH).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--locked", "-p", "balance-app", "--target-dir"])
        .arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the service cannot be built");
    folder.join("balance")
}

fn targets(store: &str, json: &Path) -> String {
    let output = Command::new(BENCH)
        .args(["targets", "--store", store, "--data", "tmpfs", "--seconds", "0.04", "--rounds", "1"])
        .args([
            "--users",
            "1000",
            "--grow",
            "--accounts",
            "1000",
            "--long-history",
            "3000",
            "--warm-up",
            "0.5",
        ])
        .arg("--binary")
        .arg(service())
        .arg("--json")
        .arg(json)
        // It makes its folder in `target`.
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1000 accounts, 10000 operations, 1000 captures in 2026-10"), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a table must have a line for, and how many.
const LINES: [(&str, usize); 14] = [
    ("| Single writes, deposit, ", 4),
    ("| Single writes, reserve-capture, ", 4),
    ("| Single writes, mix, ", 2),
    ("| Balance reads, ", 2),
    ("| Batches of 1,000", 1),
    ("| One deposit alone", 1),
    ("| One hot account", 1),
    ("| p99 of the others", 1),
    ("| Start on the ", 2),
    ("| Memory ", 3),
    ("| Report of a month", 1),
    ("| Page of a history of 3001 operations, ", 8),
    ("| At size, ", 12),
    ("| Books of the ", 2),
];

#[test]
fn every_target_has_a_line_on_both_stores() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["sqlite", "postgres"].map(|store| folder.path().join(store));
    for (store, file) in ["sqlite", "postgres"].iter().zip(&files) {
        let table = targets(store, file);
        for (name, count) in LINES {
            let found = table.lines().filter(|line| line.starts_with(name)).count();
            assert_eq!(found, count, "{store}: {name}\n{table}");
        }
        assert_eq!(table.matches(", after 0.5 s of load: ").count(), 12, "{store}\n{table}");
        let books =
            table.lines().filter(|line| line.contains("`balance audit` is clean | clean | – | yes |"));
        assert_eq!(books.count(), 2, "{store}\n{table}");
        assert!(table.contains(" for 1000 captures; "), "{store}: the report has all of the month\n{table}");
        assert!(!table.contains(" refused"), "{store}\n{table}");
    }
    let both = Command::new(BENCH).arg("table").args(&files).output().unwrap();
    assert!(both.status.success(), "{}", String::from_utf8_lossy(&both.stderr));
    let both = String::from_utf8(both.stdout).unwrap();
    assert!(both.starts_with("| Target | sqlite, tmpfs | postgres, tmpfs |\n"), "{both}");
    assert_eq!(both.lines().count(), 2 + LINES.iter().map(|(_, count)| count).sum::<usize>(), "{both}");
    assert!(!both.contains("not measured"), "{both}");
}
