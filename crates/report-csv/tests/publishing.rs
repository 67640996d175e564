//! Publishing on a real file system: bytes, atomicity, full disks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use balance_domain::{
    Currency, Month, RevenueLine, ServiceId, ServiceName,
    ports::{Published, ReportSink, SinkError},
};
use balance_report_csv::CsvReports;
use tempfile::TempDir;

fn month() -> Month {
    "2026-11".parse().unwrap()
}

fn line(name: &str, captured: i128, refunded: i128) -> RevenueLine {
    RevenueLine {
        service_id: ServiceId::new(1).unwrap(),
        service_name: ServiceName::new(name).unwrap(),
        captured,
        refunded,
    }
}

async fn publish(folder: &Path, lines: &[RevenueLine]) -> Result<Published, SinkError> {
    let mut draft = CsvReports::new(folder.into(), Currency::RUB).begin(month())?;
    for line in lines {
        draft.line(line)?;
    }
    draft.finish().await
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_report_is_a_file_of_its_month_in_a_folder_that_is_made() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("data/reports");
    let lines = [line("Доставка", 12_345, 45), line("taxi; \"fast\"", 15, 0), line("возврат", 0, 5)];
    let published = publish(&folder, &lines).await.unwrap();

    let expected = "service;revenue\n\"Доставка\";123.00\n\"taxi; \"\"fast\"\"\";0.15\n\"возврат\";-0.05\n";
    assert_eq!(String::from_utf8(published.bytes.clone()).unwrap(), expected);
    assert_eq!(published.file_name, "revenue-2026-11.csv");
    assert_eq!(published.sha256, "a9088c1e43111f4d9239ba7a5bf820eb301053df0f873fa5d25ddf0ea24b6e77");
    assert_eq!(fs::read(folder.join(published.file_name)).unwrap(), published.bytes);
}

#[tokio::test]
async fn a_month_without_revenue_is_the_header_alone() {
    let root = TempDir::new().unwrap();
    assert_eq!(publish(root.path(), &[]).await.unwrap().bytes, b"service;revenue\n");
}

/// Names that break careless writers: separators, quotes, formulas, scripts, markup, SQL.
const NASTY: [&str; 72] = [
    "a;b",
    "a,b",
    ";",
    ";;",
    "\"",
    "\"\"",
    "\"a\"",
    "a\"b",
    "a\";\"b",
    "'",
    "''",
    "'=1",
    "\\",
    "\\\"",
    "\\n",
    "a\\",
    "=1+1",
    "=cmd|' /C calc'!A0",
    "=HYPERLINK(\"http://x\";\"y\")",
    "=\"a\"&\"b\"",
    "+1",
    "+7 900 000-00-00",
    "-1",
    "-2+3",
    "- 5",
    "@SUM(A1)",
    "@",
    "=",
    "+",
    "-",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(A1)",
    "1=1",
    "a+b",
    "a-b",
    "a@b",
    "%0A=1",
    "|calc",
    "#REF!",
    "#comment",
    "0",
    "-0.05",
    "1e5",
    "0x10",
    "007",
    "1;2",
    "TRUE",
    "NULL",
    "nan",
    "12.11",
    "2026-11-01",
    "Такси",
    "出租车",
    "تاكسي",
    "\u{202e}rtl",
    "\u{200b}=1",
    "\u{feff}bom",
    "é",
    "e\u{301}",
    "🦀",
    "👩‍👩‍👧",
    "ß",
    "İ",
    "'; drop table services; --",
    "<script>alert(1)</script>",
    "&amp;",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "../../etc",
    "a   b",
];

#[tokio::test]
async fn defect_08_nasty_names_come_back_as_they_were_and_never_as_formulas() {
    let longest = "я;\"".repeat(63);
    let all: Vec<&str> = NASTY.into_iter().chain([longest.as_str()]).collect();
    let lines: Vec<_> = (0_i128..).zip(&all).map(|(i, name)| line(name, i * 1_000_003, i * 7)).collect();
    let root = TempDir::new().unwrap();
    let bytes = publish(root.path(), &lines).await.unwrap().bytes;

    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(bytes.as_slice());
    assert_eq!(reader.headers().unwrap(), vec!["service", "revenue"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), all.len());
    for (row, (name, line)) in rows.iter().zip(all.iter().zip(&lines)) {
        assert!(!row[0].starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{row:?}");
        let is_neutralised = row[0] != **name;
        assert_eq!(row[0].strip_prefix('\'').filter(|_| is_neutralised).unwrap_or(&row[0]), *name);
        assert_eq!(row[1].replace('.', "").parse::<i128>().unwrap(), line.net());
        assert_eq!(row[1].rsplit_once('.').unwrap().1.len(), 2);
    }
}

#[tokio::test]
async fn sums_wider_than_any_balance_are_exact() {
    let root = TempDir::new().unwrap();
    let lines = [line("most", i128::MAX, 0), line("least", 0, i128::MAX)];
    let text = String::from_utf8(publish(root.path(), &lines).await.unwrap().bytes).unwrap();
    assert!(text.contains("\"most\";1701411834604692317316873037158841057.27\n"), "{text}");
    assert!(text.contains("\"least\";-1701411834604692317316873037158841057.27\n"), "{text}");
}

#[tokio::test]
async fn defect_08_the_same_lines_give_the_same_bytes_and_leave_the_file_alone() {
    let root = TempDir::new().unwrap();
    let lines: Vec<_> = NASTY.iter().map(|name| line(name, 1, 0)).collect();
    let first = publish(root.path(), &lines).await.unwrap();
    let inode = fs::metadata(root.path().join(&first.file_name)).unwrap().ino();
    assert_eq!(publish(root.path(), &lines).await.unwrap(), first);
    assert_eq!(fs::metadata(root.path().join(&first.file_name)).unwrap().ino(), inode, "written again");

    let other = publish(root.path(), &lines[1..]).await.unwrap();
    assert_ne!(other.sha256, first.sha256);
    assert_eq!(fs::read(root.path().join(&other.file_name)).unwrap(), other.bytes);
}

#[tokio::test]
async fn a_published_report_can_be_read_from_a_folder_that_no_longer_takes_files() {
    let root = TempDir::new().unwrap();
    let lines = [line("a", 1, 0)];
    let first = publish(root.path(), &lines).await.unwrap();
    // A directory in the way of the lock: for root, permissions would not stop a write.
    fs::remove_file(root.path().join(".revenue.lock")).unwrap();
    fs::create_dir(root.path().join(".revenue.lock")).unwrap();
    assert_eq!(publish(root.path(), &lines).await.unwrap(), first);
    publish(root.path(), &[line("b", 1, 0)]).await.unwrap_err();
    assert_eq!(fs::read(root.path().join(first.file_name)).unwrap(), first.bytes);
}

/// The origin let two requests write into one file.
#[tokio::test(flavor = "multi_thread")]
async fn defect_08_concurrent_publishing_never_shows_a_partial_file() {
    let root = TempDir::new().unwrap();
    let versions: Arc<Vec<Vec<RevenueLine>>> = Arc::new(
        (0..8_u8)
            .map(|v| (0..4_000).map(|i| line(&format!("service {i} of version {v}"), i, v.into())).collect())
            .collect(),
    );
    let mut whole = Vec::new();
    for version in versions.iter() {
        whole.push(publish(root.path(), version).await.unwrap().bytes);
    }

    let is_over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (is_over, path) = (Arc::clone(&is_over), root.path().join("revenue-2026-11.csv"));
        move || {
            let mut seen = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let found = fs::read(&path).unwrap();
                assert!(whole.contains(&found), "a file of {} bytes that nobody published", found.len());
                seen += 1;
            }
            seen
        }
    });
    let writers: Vec<_> = (0..8)
        .map(|v| {
            let (versions, folder) = (Arc::clone(&versions), root.path().to_owned());
            tokio::spawn(async move {
                for _ in 0..10 {
                    publish(&folder, &versions[v]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
    assert_eq!(names(root.path()), [".revenue.lock", "revenue-2026-11.csv"]);
}

#[tokio::test]
async fn a_dropped_draft_leaves_nothing_and_a_killed_one_is_overwritten() {
    let root = TempDir::new().unwrap();
    let mut draft = CsvReports::new(root.path().into(), Currency::RUB).begin(month()).unwrap();
    draft.line(&line("a", 1, 0)).unwrap();
    drop(draft);
    assert!(names(root.path()).is_empty());

    fs::write(root.path().join(".revenue-2026-11.csv.tmp"), "half of a li").unwrap();
    publish(root.path(), &[line("a", 1, 0)]).await.unwrap();
    assert_eq!(names(root.path()), [".revenue.lock", "revenue-2026-11.csv"]);
}

/// Revenue is readable for the service's user alone, and a link in the folder must not lead a write elsewhere.
#[tokio::test]
async fn reports_are_private_whatever_the_umask_and_not_written_through_links() {
    const NAME: &str = "reports_are_private_whatever_the_umask_and_not_written_through_links";
    const FOLDER: &str = "BALANCE_TEST_UMASK";

    let lines = [line("a", 1, 0)];
    if let Some(folder) = std::env::var_os(FOLDER) {
        publish(&Path::new(&folder).join("data/reports"), &lines).await.unwrap();
        return;
    }
    let root = TempDir::new().unwrap();
    let open_to_all = Command::new("sh")
        .args(["-c", "umask 000; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(FOLDER, root.path())
        .status()
        .unwrap();
    assert!(open_to_all.success());
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
    let folder = root.path().join("data/reports");
    for (path, wanted) in [
        (folder.clone(), 0o700),
        (root.path().join("data"), 0o700),
        (folder.join(".revenue.lock"), 0o600),
        (folder.join("revenue-2026-11.csv"), 0o600),
    ] {
        assert_eq!(mode(&path), wanted, "{}", path.display());
    }

    // The report is a link to a file with the very same bytes.
    let (report, elsewhere) = (folder.join("revenue-2026-11.csv"), root.path().join("elsewhere"));
    fs::rename(&report, &elsewhere).unwrap();
    symlink(&elsewhere, &report).unwrap();
    publish(&folder, &lines).await.unwrap();
    assert!(fs::symlink_metadata(&report).unwrap().is_file(), "the link was replaced");

    // So is the lock, and leads to where no file is yet.
    fs::remove_file(folder.join(".revenue.lock")).unwrap();
    symlink(root.path().join("nowhere"), folder.join(".revenue.lock")).unwrap();
    publish(&folder, &[line("b", 1, 0)]).await.unwrap_err();
    assert!(!root.path().join("nowhere").exists());
    fs::remove_file(folder.join(".revenue.lock")).unwrap();

    // Nobody ever writes into this pipe.
    for name in [".revenue.lock", "revenue-2026-11.csv"] {
        drop(fs::remove_file(folder.join(name)));
        assert!(Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
        let done =
            tokio::time::timeout(std::time::Duration::from_secs(5), publish(&folder, &[line("c", 1, 0)]))
                .await;
        assert_eq!(done.unwrap().is_ok(), name != ".revenue.lock");
        drop(fs::remove_file(folder.join(".revenue.lock")));
    }
}

/// The origin answered 200 when the disk was full. This test runs itself again in a process that may write
/// files of one block only, so that the write fails half way.
#[tokio::test]
async fn defect_08_a_full_disk_is_an_error_and_leaves_no_partial_file() {
    const NAME: &str = "defect_08_a_full_disk_is_an_error_and_leaves_no_partial_file";
    const FOLDER: &str = "BALANCE_TEST_FULL_DISK";

    let lines: Vec<_> = (0..1_000).map(|i| line(&format!("service {i}"), i, 0)).collect();
    if let Some(folder) = std::env::var_os(FOLDER) {
        publish(Path::new(&folder), &lines).await.unwrap_err();
        return;
    }
    let root = TempDir::new().unwrap();
    let before = publish(root.path(), &lines[..10]).await.unwrap();
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(FOLDER, root.path())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stdout));
    assert!(String::from_utf8_lossy(&limited.stdout).contains("1 passed"), "the test did not run there");
    assert_eq!(names(root.path()), [".revenue.lock", "revenue-2026-11.csv"]);
    assert_eq!(fs::read(root.path().join(before.file_name)).unwrap(), before.bytes, "the old file is gone");

    assert_eq!(publish(root.path(), &lines).await.unwrap().bytes.len(), 18_906);
}

/// A process that keeps the lock keeps others from publishing, and from nothing else.
#[tokio::test]
async fn a_lock_that_is_kept_is_an_error_within_seconds() {
    let root = TempDir::new().unwrap();
    publish(root.path(), &[line("a", 1, 0)]).await.unwrap();
    let lock = fs::File::open(root.path().join(".revenue.lock")).unwrap();
    lock.lock().unwrap();
    let started = std::time::Instant::now();
    publish(root.path(), &[line("b", 1, 0)]).await.unwrap_err();
    assert!(started.elapsed() < std::time::Duration::from_secs(6), "{:?}", started.elapsed());
    drop(lock);
    publish(root.path(), &[line("b", 1, 0)]).await.unwrap();
}
