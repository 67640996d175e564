//! What people get wrong the first time, and the words that they are helped with.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

use crate::harness::{Store, World};

/// Runs a command that cannot be done; what it says.
#[track_caller]
fn refused(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for line in said.lines() {
        assert!(line.matches(": ").count() <= 2, "a chain of colons: {line}");
        assert!(line.chars().count() <= 200, "{line}");
    }
    said
}

/// Insists that a text has these parts.
#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn a_port_in_use_is_found_before_any_file_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let world = World::unconfigured();
    let said = refused(&world, &["--listen", &address]);
    says(
        &said,
        &[&address, "is in use by another program; choose another address with --listen (BALANCE_LISTEN)"],
    );
    assert_eq!(fs::read_dir(world.folder()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn an_address_without_a_port_or_for_others_is_explained() {
    let world = World::unconfigured();
    let said = refused(&world, &["--listen", "8080"]);
    says(&said, &["listen (BALANCE_LISTEN): \"8080\" is not an address with a port, like 127.0.0.1:8080"]);
    says(&refused(&world, &["--listen", "0.0.0.0:8080"]), &["behind_proxy (BALANCE_BEHIND_PROXY)"]);
    let world = world.with("BALANCE_DATABASE_URL", "sqlite:balance.db");
    let said = refused(&world, &["--listen", "0.0.0.0:0", "--behind-proxy"]);
    says(&said, &["no API key exists", "balance keys create"]);
}

#[test]
fn a_second_process_on_a_file_is_refused_with_what_to_do() {
    let world = World::new(Store::Sqlite);
    let _server = world.start();
    for arguments in [&["serve"][..], &["audit"], &["migrate"]] {
        let said = refused(&world, arguments);
        says(&said, &["balance.db", "in use by another process", "stop"]);
    }
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let world = World::new(Store::Sqlite);
    fs::write(world.folder().join("plain"), "a file, no folder").unwrap();
    let world = world.with("BALANCE_DATABASE_URL", "sqlite:plain/balance.db");
    says(&refused(&world, &["migrate"]), &["cannot create the folder plain"]);
    // /proc takes no files from anyone.
    let world = world.with("BALANCE_DATABASE_URL", "sqlite:/proc/balance.db");
    says(&refused(&world, &["migrate"]), &["/proc/balance.db", "No such file or directory"]);
    let world = world.with("BALANCE_LOG_FILE__FOLDER", "plain/logs");
    says(&refused(&world, &["serve"]), &["log_file.folder plain/logs"]);
}

#[test]
fn a_word_that_is_misspelt_gets_a_suggestion() {
    let world = World::unconfigured();
    says(&refused(&world, &["serv"]), &["unrecognized subcommand 'serv'", "'serve'"]);
    says(&refused(&world, &["--lisen", "127.0.0.1:0"]), &["unexpected argument '--lisen'", "'--listen'"]);
    let world = world.with("BALANCE_CURENCY", "EUR");
    says(&refused(&world, &["config"]), &["there is no such key; is currency meant?"]);
    let world = world.without("BALANCE_CURENCY").with("BALANCE_ACCOUNTING_ZONE", "Europe/Moskow");
    says(&refused(&world, &["config"]), &["\"Europe/Moskow\" is no time zone of the IANA database"]);
    let world = world.without("BALANCE_ACCOUNTING_ZONE").with("BALANCE_LOG", "verbose");
    says(&refused(&world, &["config"]), &["\"verbose\" is none of error, warn, info, debug, trace, off"]);
}

#[test]
fn a_copy_over_a_file_that_is_there_is_refused() {
    let world = World::new(Store::Sqlite);
    assert!(world.run(&["migrate"]).status.success());
    fs::write(world.folder().join("b.db"), "").unwrap();
    let said = refused(&world, &["backup", "b.db"]);
    assert_eq!(said, "balance: b.db exists already\n");
}

#[test]
fn a_database_that_cannot_be_used_is_named_with_its_reason() {
    let world = World::new(Store::Postgres);
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    let (server, _) = url.rsplit_once('/').unwrap();
    let world = world.with("BALANCE_DATABASE_URL", &format!("{server}/nowhere"));
    says(&refused(&world, &["migrate"]), &["database \"nowhere\" does not exist"]);
    let world = world.with("BALANCE_DATABASE_URL", &url.replace("postgres@", "nobody:secret@"));
    let said = refused(&world, &["migrate"]);
    says(&said, &["role \"nobody\" does not exist"]);
    assert!(!said.contains("secret"), "{said}");
    let world = world.with("BALANCE_DATABASE_URL", "postgres://u:secret@127.0.0.1:1/d");
    says(&refused(&world, &["keys", "list"]), &["PostgreSQL u@127.0.0.1:1/d cannot", "Connection refused"]);
    let world = world.with("BALANCE_DATABASE_URL", "postgres://u:se@cret@127.0.0.1:1/d");
    let said = refused(&world, &["keys", "list"]);
    says(&said, &["database_url (BALANCE_DATABASE_URL)", "write %40 for @"]);
    assert!(!said.contains("cret"), "{said}");
}

/// A server that takes nobody's password, in PostgreSQL's protocol.
fn server_that_refuses_every_password() -> SocketAddr {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut start = [0; 1024];
            if matches!(stream.read(&mut start), Ok(8..)) && start[4..8] == SSL_REQUEST {
                drop(stream.write_all(b"N").and_then(|()| stream.read(&mut start)));
            }
            let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"shop\"\0\0";
            let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
            // The caller may be gone already.
            drop(stream.write_all(&[b"E", length.as_slice(), fields.as_slice()].concat()));
        }
    });
    address
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    let url = format!("postgres://shop:canary@{}/money", server_that_refuses_every_password());
    let world = World::new(Store::Sqlite).with("BALANCE_DATABASE_URL", &url);
    for command in ["migrate", "doctor"] {
        let output = world.run(&[command]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
        says(&said, &["password authentication failed for user \"shop\""]);
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_doctor_says_what_is_well_and_what_would_fail() {
    let world = World::new(Store::Sqlite);
    let look = |world: &World, arguments: &[&str]| {
        let output = world.run(&[&["doctor"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = look(&world, &[]);
    assert_eq!(code, Some(0), "{said}");
    says(
        &said,
        &[
            "warning  ledger      SQLite file /",
            "a start makes a new, empty one",
            "ok       limits",
            "is free",
        ],
    );
    assert_eq!(fs::read_dir(world.folder()).unwrap().count(), 0, "nothing was made");

    assert!(world.run(&["migrate"]).status.success());
    says(
        &look(&world, &[]).1,
        &["ok       ledger      SQLite file /", "balance.db can be used", "ok       clock"],
    );
    let server = world.start();
    let listen = server.address.to_string();
    says(
        &look(&world, &["--listen", &listen]).1,
        &["a service answers there", "belongs to the service that answers"],
    );
    let (code, said) = look(&world, &[]);
    assert_eq!(code, Some(1), "the file is in use, and nothing answers at the configured address: {said}");

    let broken = World::new(Store::Sqlite).with("BALANCE_REPORT_FOLDER", "/proc/reports");
    let (code, said) = look(&broken, &["--json"]);
    let findings: serde_json::Value = serde_json::from_str(&said).unwrap();
    let reports = findings.as_array().unwrap().iter().find(|each| each["what"] == "reports").unwrap();
    assert_eq!((code, &reports["level"]), (Some(1), &"failure".into()), "{said}");

    let postgres = World::new(Store::Postgres);
    let (code, said) = look(&postgres, &[]);
    assert_eq!(code, Some(1), "nothing was migrated: {said}");
    says(&said, &["failure  ledger      PostgreSQL postgres@127.0.0.1:", "balance migrate"]);
    assert!(postgres.run(&["migrate"]).status.success());
    assert_eq!(look(&postgres, &[]).0, Some(0));
}
