//! The harness itself: servers start, serve, survive a kill and leave nothing behind.

use std::{
    io::BufRead,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use balance_postgres_harness::{Options, Server, shared};

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn databases_are_cloned_from_a_template() {
    let server = shared();
    let template = server.create_database(None);
    server.psql(&template, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
    let copy = server.create_database(Some(&template));
    assert_eq!(server.psql(&copy, "SELECT n FROM t"), "7");
}

#[test]
fn a_template_that_somebody_is_just_leaving_is_waited_for() {
    let server = shared();
    let template = server.create_database(None);
    thread::scope(|scope| {
        scope.spawn(|| server.psql(&template, "SELECT pg_sleep(0.5)"));
        thread::sleep(Duration::from_millis(200));
        server.create_database(Some(&template));
    });
}

#[test]
fn a_dropped_server_is_gone_with_its_data() {
    let server = Server::start(Options::default());
    let pid = server.pid();
    let folder = server.psql("postgres", "SHOW data_directory");
    drop(server);
    wait_until_gone(pid);
    assert!(!Path::new(&folder).exists());
}

#[test]
fn a_killed_server_comes_back_with_what_was_durable() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    server.psql("postgres", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
    let pid = server.pid();
    server.kill_9();
    assert!(!is_running(pid));
    server.restart();
    assert_eq!(server.psql("postgres", "SELECT n FROM t"), "7");
    assert_eq!(server.psql("postgres", "SHOW fsync"), "on");
}

#[test]
fn a_server_is_restarted_with_its_settings() {
    let server = Server::start(Options { settings: vec!["work_mem=5MB".into()], ..Options::default() });
    server.restart();
    assert_eq!(server.psql("postgres", "SHOW work_mem"), "5MB");
}

#[test]
fn a_standby_follows_and_can_be_promoted() {
    let primary = Server::start(Options { durable: true, ..Options::default() });
    primary.psql("postgres", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
    let standby = primary.standby("s1");
    primary.reconfigure(&["synchronous_standby_names = 's1'"]);
    primary.psql("postgres", "INSERT INTO t VALUES (8)");
    standby.stop();
    standby.restart();
    primary.await_standby("s1");
    assert_eq!(standby.psql("postgres", "SELECT pg_is_in_recovery()"), "t");
    primary.kill_9();
    standby.promote();
    assert_eq!(standby.psql("postgres", "SELECT sum(n), pg_is_in_recovery() FROM t"), "15|f");
}

#[test]
fn a_server_does_not_outlive_a_killed_process() {
    let mut victim =
        Command::new(env!("CARGO_BIN_EXE_private-postgres")).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(victim.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid: u32 = line.split(' ').next().unwrap().parse().unwrap();
    assert!(is_running(pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until_gone(pid);
}
