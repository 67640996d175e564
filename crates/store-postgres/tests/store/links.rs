//! Ways to a server: TCP and Unix socket, with and without a password, and TLS, where the server's certificate and name
//! are checked whichever mode asks for it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use balance_domain::ports::BalanceRepo;
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{SetClock, Teller};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::database::Database;

/// A certificate authority, and a certificate of it for `localhost`, as files that the server may read.
fn certificates(folder: &Path) {
    let run = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let output = output.unwrap_or_else(|error| {
            panic!("this test needs openssl (apt-get install --no-install-recommends openssl): {error}")
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca",
    );
    run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    );
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    run(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_certificate_and_name_alone() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let server = Server::start(Options { durable: true, ..Options::default() });
    let data = server.psql("postgres", "SHOW data_directory");
    let owner = fs::metadata(&data).unwrap();
    for name in ["server.key", "server.pem"] {
        let to = Path::new(&data).join(name);
        fs::copy(folder.path().join(name), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        let (uid, gid) =
            (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
        std::os::unix::fs::chown(&to, Some(uid), Some(gid)).unwrap();
    }
    server.psql("postgres", "ALTER SYSTEM SET ssl_cert_file = 'server.pem'");
    server.psql("postgres", "ALTER SYSTEM SET ssl_key_file = 'server.key'");
    server.psql("postgres", "ALTER SYSTEM SET ssl = on");
    server.restart();

    let store = |host: &str, mode: &str, ca: Option<&str>| {
        let url = format!("postgres://postgres@{host}:{}/postgres?sslmode={mode}", server.port());
        let ca_file = ca.map(|name| folder.path().join(name));
        PostgresStore::new(
            PostgresOptions { ca_file, ..PostgresOptions::new(url) },
            Arc::new(SetClock::default()),
        )
    };
    let trusted = store("localhost", "require", Some("ca.pem")).unwrap();
    trusted.migrate().await.unwrap();
    trusted.ready().await.unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        store("localhost", mode, Some("ca.pem")).unwrap().ready().await.unwrap();
        let by_address = store("127.0.0.1", mode, Some("ca.pem")).unwrap().ready().await;
        assert!(by_address.is_err(), "{mode}: the certificate names localhost only");
        let unknown = store("localhost", mode, Some("server.pem"));
        let is_refused = match unknown {
            Ok(store) => store.ready().await.is_err(),
            Err(_) => true,
        };
        // The server's own certificate is no authority.
        assert!(is_refused, "{mode}");
    }
    let encrypted = "SELECT count(*) > 0 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE s.ssl AND a.application_name = 'balance'";
    assert_eq!(server.psql("postgres", encrypted), "t");
    store("127.0.0.1", "prefer", None).unwrap().ready().await.unwrap();
    assert!(store("localhost", "require", Some("missing.pem")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_given_over_tcp_and_over_the_socket() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    server.psql("postgres", "CREATE ROLE app LOGIN SUPERUSER PASSWORD 'sesame'");
    let data = server.psql("postgres", "SHOW data_directory");
    let rules = "local all app scram-sha-256\nhost all app all scram-sha-256\n\
                 local all postgres trust\nhost all postgres all trust\n";
    fs::write(Path::new(&data).join("pg_hba.conf"), rules).unwrap();
    server.psql("postgres", "SELECT pg_reload_conf()");

    for url in [server.url("postgres"), server.socket_url("postgres")] {
        let with = |user: &str| {
            PostgresStore::new(
                PostgresOptions::new(url.replace("//postgres@", &format!("//{user}@"))),
                Arc::new(SetClock::default()),
            )
            .unwrap()
        };
        let store = with("app:sesame");
        store.migrate().await.unwrap();
        store.ready().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        with("postgres").ready().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        for wrong in ["app:wrong", "app"] {
            assert!(with(wrong).ready().await.is_err(), "{wrong} over {url}");
        }
    }
}

/// A network may deliver the server's answers in any pieces, while a connection is made and afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn answers_may_come_byte_by_byte() {
    let database = Database::migrated().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = database.server.port();
    tokio::spawn(async move {
        while let Ok((store, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
            store.set_nodelay(true).unwrap();
            let ((mut from_store, mut to_store), (mut from_server, mut to_server)) =
                (store.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_store, &mut to_server).await });
            tokio::spawn(async move {
                while let Ok(byte) = from_server.read_u8().await {
                    if to_store.write_u8(byte).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
    });
    let store = database.another(|options| {
        options.url = options.url.replace(&format!(":{upstream}/"), &format!(":{port}/"));
    });
    let teller = Teller::new(Arc::new(store.clone()), database.clock.clone());
    store.ready().await.unwrap();
    teller.deposit(1, 100).await;
    teller.withdraw(1, 30).await;
    assert_eq!(teller.balance(1).await, (70, 0));
}
