//! Mistakes that no further attempt heals are recognised, and say what to do.

use balance_domain::ports::{BalanceRepo, RepoError};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::SetClock;
use balance_store_postgres::is_permanent;

use crate::database::{open, options};

fn cause(error: &RepoError) -> &balance_domain::ports::Cause {
    match error {
        RepoError::Unavailable(cause) | RepoError::Internal(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_mistakes_are_not_taken_for_what_may_heal() {
    let server = Server::start(Options::default());
    server.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'sesame'");
    server.psql("postgres", "CREATE DATABASE ledger");
    let data = server.psql("postgres", "SHOW data_directory");
    let rules = "host all app all scram-sha-256\nhost all postgres all trust\n";
    std::fs::write(std::path::Path::new(&data).join("pg_hba.conf"), rules).unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()");
    let url = |user: &str, database: &str| server.url(database).replace("//postgres@", &format!("//{user}@"));
    let store = |user: &str, database: &str| open(options(&url(user, database)), &SetClock::default());

    for (user, database, remedy) in [
        ("app:wrong", "ledger", "correct database_url"),
        ("nobody:x", "ledger", "pg_hba.conf"),
        ("app:sesame", "nowhere", "the database does not exist"),
        ("app:sesame", "ledger", "the role lacks a right"),
    ] {
        let refused = store(user, database).migrate().await.unwrap_err();
        assert!(is_permanent(cause(&refused)), "{user}: {refused}");
        assert!(refused.to_string().contains(remedy), "{refused}");
        assert!(!refused.to_string().contains("sesame"), "{refused}");
    }
    let unmigrated = store("postgres", "ledger");
    let refused = unmigrated.ready().await.unwrap_err();
    assert!(is_permanent(cause(&refused)) && refused.to_string().contains("balance migrate"), "{refused}");
    unmigrated.migrate().await.unwrap();
    server.psql("ledger", "UPDATE refinery_schema_history SET version = version + 90, name = 'later'");
    let refused = unmigrated.ready().await.unwrap_err();
    assert!(
        is_permanent(cause(&refused)) && refused.to_string().contains("schema is at version"),
        "{refused}"
    );

    server.stop();
    let away = store("postgres", "ledger").migrate().await.unwrap_err();
    assert!(!is_permanent(cause(&away)), "a server that is away may come back: {away}");
}
