//! Defaults, sources and complaints.

use std::{ffi::OsString, fs, net::SocketAddr};

use secrecy::ExposeSecret;

use super::*;

fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::TempDir::new().unwrap();
    let file = file.map(|text| {
        let path = folder.path().join("balance.toml");
        fs::write(&path, text).unwrap();
        path
    });
    let environment =
        environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    Settings::load(Source { file, environment, flags: Vec::new() }).map_err(|problems| problems.to_string())
}

/// The flag for a key, as the command line gives it.
fn flag(name: &str, text: &str) -> (&'static Key, String) {
    (KEYS.iter().find(|key| key.name == name).unwrap(), text.to_owned())
}

#[test]
fn with_nothing_configured_it_serves_one_machine_from_one_file() {
    let settings = load(None, &[]).unwrap();
    assert_eq!(settings.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert!(matches!(settings.database, Database::Sqlite(path) if path.ends_with("data/balance.db")));
    assert_eq!(settings.reservation_ttl.seconds(), 600);
    assert_eq!(settings.batching.lanes, 1);
    assert!(settings.admin_key.is_none() && !settings.allow_unsafe_durability && settings.migrate_on_start);
}

#[test]
fn connections_are_enough_for_the_lanes_and_something_beside_them() {
    let postgres = |connections: &str, lanes: &str| {
        load(
            None,
            &[
                ("BALANCE_DATABASE_URL", "postgres://u@db/balance"),
                ("BALANCE_DATABASE__CONNECTIONS_MAX", connections),
                ("BALANCE_GROUP_COMMIT__LANES", lanes),
            ],
        )
    };
    assert!(postgres("4", "0").is_ok() && postgres("10", "8").is_ok());
    for (connections, lanes, needed) in [("3", "0", 4), ("9", "8", 10), ("16", "64", 66)] {
        let refused = postgres(connections, lanes).unwrap_err();
        assert!(
            refused.contains("database.connections_max (BALANCE_DATABASE__CONNECTIONS_MAX)"),
            "{refused}"
        );
        assert!(refused.contains(&format!("at least {needed}")), "{refused}");
    }
    assert!(load(None, &[("BALANCE_DATABASE__CONNECTIONS_MAX", "1")]).is_ok(), "readers of a file");
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_defaults() {
    let file = "currency = \"USD\"\nlisten = \"127.0.0.1:1\"\n[http]\nworkers = 3\nconnections_max = 7\n";
    let environment = [("BALANCE_LISTEN", "127.0.0.1:2"), ("BALANCE_HTTP__WORKERS", "5")];
    let settings = load(Some(file), &environment).unwrap();
    assert_eq!(settings.currency.code(), "USD");
    assert_eq!(settings.listen.port(), 2);
    assert_eq!((settings.http.workers, settings.http.connections_max), (5, 7));
    assert_eq!(settings.http.body_bytes_max, 65_536);
}

#[test]
fn flags_go_before_everything_and_the_origin_of_each_value_is_known() {
    let environment = ["BALANCE_LISTEN", "BALANCE_CURRENCY"];
    let environment = environment.into_iter().zip(["127.0.0.1:2", "EUR"]);
    let source = Source {
        file: None,
        environment: environment.map(|(name, text)| (name.into(), text.into())).collect(),
        flags: vec![flag("listen", "127.0.0.1:3"), flag("database_url", "postgres://u:secret@h/d")],
    };
    let settings = Settings::load(source).unwrap();
    assert_eq!(settings.listen.port(), 3);
    let json = settings.shown.to_json();
    for (key, value, origin) in [
        ("listen", "127.0.0.1:3", "--listen"),
        ("currency", "EUR", "BALANCE_CURRENCY"),
        ("database_url", "postgres://u:(hidden)@h/d", "--database-url"),
        ("http.workers", "0", "default"),
    ] {
        assert_eq!((&json[key]["value"], &json[key]["origin"]), (&value.into(), &origin.into()));
    }
    let toml = settings.shown.to_string();
    assert!(toml.contains("\ncurrency = \"EUR\" # from BALANCE_CURRENCY\n"), "{toml}");
}

#[test]
fn a_secret_may_be_in_a_file_that_the_environment_names() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("url");
    fs::write(&path, "postgres://u:canary-5e1f@h/d\n").unwrap();
    let path = path.to_str().unwrap();
    let settings = load(None, &[("BALANCE_DATABASE_URL_FILE", path)]).unwrap();
    let Database::Postgres(url) = &settings.database else { panic!("{:?}", settings.database) };
    assert_eq!(url.expose_secret(), "postgres://u:canary-5e1f@h/d");
    let shown = settings.shown.to_string();
    assert!(shown.contains(&format!("# from BALANCE_DATABASE_URL_FILE={path}")), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");

    let both = [("BALANCE_DATABASE_URL_FILE", path), ("BALANCE_DATABASE_URL", "sqlite:a.db")];
    let refused = load(None, &both).unwrap_err();
    assert!(refused.contains("BALANCE_DATABASE_URL_FILE: BALANCE_DATABASE_URL is set too"), "{refused}");
    let refused = load(None, &[("BALANCE_ADMIN_KEY_FILE", "/nowhere/key")]).unwrap_err();
    assert!(refused.contains("/nowhere/key cannot be read (No such file"), "{refused}");
    let refused = load(None, &[("BALANCE_CURRENCY_FILE", path)]).unwrap_err();
    assert!(refused.contains("there is no such key"), "only secrets: {refused}");
}

#[test]
fn what_is_printed_for_a_secret_is_not_taken_for_one() {
    let refused = load(None, &[("BALANCE_DATABASE_URL", "postgres://u:(hidden)@h/d")]).unwrap_err();
    assert!(refused.contains("(hidden) stands where"), "{refused}");
}

#[test]
fn a_word_that_is_no_level_does_not_silence_the_log() {
    for refused in ["verbose", "info,balance_http", "balance_http=loud", "info,,quiet"] {
        let problems = load(None, &[("BALANCE_LOG", refused)]).unwrap_err();
        assert!(problems.contains("is none of error, warn, info, debug, trace, off"), "{problems}");
    }
    for fine in ["WARN", "off", "info,balance_http=debug", "balance=trace"] {
        load(None, &[("BALANCE_LOG", fine)]).unwrap();
    }
}

#[test]
fn a_typing_mistake_gets_a_suggestion_and_a_mistake_in_the_file_its_place() {
    for (file, said) in [
        ("lissten = \"127.0.0.1:1\"", "lissten (BALANCE_LISSTEN): there is no such key; is listen meant?"),
        (
            "[http]\nworker = 1",
            "http.worker (BALANCE_HTTP__WORKER): there is no such key; is http.workers meant?",
        ),
        ("flavour = 1", "flavour (BALANCE_FLAVOUR): there is no such key (`balance config` lists all)"),
        ("listen = 127.0.0.1:1", "balance.toml, line 1, column "),
        ("\ncurrency = \"RUB", "balance.toml, line 2, column "),
        ("a = 1\na = 2", "duplicate key"),
    ] {
        let problems = load(Some(file), &[]).unwrap_err();
        assert!(problems.contains(said), "{file}: {problems}");
        assert!(problems.starts_with("the configuration has a problem:"), "{problems}");
    }
    let port = load(None, &[("BALANCE_PORT", "9000")]).unwrap_err();
    assert!(port.contains("set BALANCE_LISTEN to 127.0.0.1:9000"), "{port}");
    let zone = load(None, &[("BALANCE_ACCOUNTING_ZONE", "Europe/Nowhere")]).unwrap_err();
    assert!(zone.contains("\"Europe/Nowhere\" is no time zone"), "{zone}");
}

#[test]
fn every_problem_is_reported_at_once_by_both_names_of_its_key() {
    let file = "currency = \"rub\"\nlissten = \"127.0.0.1:1\"\nlisten = [1, 2]\n[http]\nworkers = -1\n";
    let environment = [
        ("BALANCE_ACCOUNTING_ZONE", "Europe/Nowhere"),
        ("BALANCE_RESERVATION_TTL_SECONDS", "0"),
        ("BALANCE_LOG", "info,=,="),
        ("BALANCE_LOG_FILE__ROTATION", "weekly"),
        ("BALANCE_MIGRATE_ON_START", "perhaps"),
        ("BALANCE_GROUP_COMMIT__LANES", "1000"),
        ("BALANCE_DATABASE__POOL", "5"),
    ];
    let problems = load(Some(file), &environment).unwrap_err();
    for key in [
        "currency (BALANCE_CURRENCY)",
        "lissten (BALANCE_LISSTEN): there is no such key",
        "listen (BALANCE_LISTEN): is not a single value",
        "http.workers (BALANCE_HTTP__WORKERS): \"-1\" is not a whole number from 0 to 1024",
        "accounting_zone (BALANCE_ACCOUNTING_ZONE)",
        "reservation_ttl_seconds (BALANCE_RESERVATION_TTL_SECONDS)",
        "log (BALANCE_LOG)",
        "log_file.rotation (BALANCE_LOG_FILE__ROTATION): \"weekly\" is none of daily, hourly, never",
        "migrate_on_start (BALANCE_MIGRATE_ON_START)",
        "group_commit.lanes (BALANCE_GROUP_COMMIT__LANES)",
        "database.pool (BALANCE_DATABASE__POOL): there is no such key",
    ] {
        assert!(problems.contains(key), "{key} is not among {problems}");
    }
    assert!(problems.starts_with("the configuration has 11 problems:"), "{problems}");
}

#[test]
fn secrets_are_in_no_complaint_and_not_in_what_is_shown() {
    const CANARY: &str = "canary-5e1f";
    let admin = format!("bal_0123456789ab_{}", "ca".repeat(32));
    for environment in [
        [("BALANCE_DATABASE_URL", "mysql://canary-5e1f@host/db"), ("BALANCE_ADMIN_KEY", "bal_canary-5e1f")],
        [("BALANCE_DATABASE_URL", "canary-5e1f"), ("BALANCE_ADMIN_KEY", "canary-5e1f")],
    ] {
        let problems = load(None, &environment).unwrap_err();
        assert!(problems.contains("database_url") && problems.contains("admin_key"), "{problems}");
        assert!(!problems.contains(CANARY), "{problems}");
    }
    let broken = load(Some("database_url = \"postgres://u:canary-5e1f@h/d\nx"), &[]).unwrap_err();
    assert!(broken.contains("balance.toml") && !broken.contains(CANARY), "{broken}");

    let url = "postgres://u:canary-5e1f@h/d";
    let settings = load(None, &[("BALANCE_DATABASE_URL", url), ("BALANCE_ADMIN_KEY", &admin)]).unwrap();
    assert!(matches!(&settings.database, Database::Postgres(kept) if kept.expose_secret() == url));
    let shown = format!("{}{settings:?}", settings.shown);
    assert!(!shown.contains(CANARY) && !shown.contains("cacaca"), "{shown}");
}

#[test]
fn other_machines_need_a_proxy() {
    for address in ["0.0.0.0:8080", "192.0.2.1:80", "[::]:8080"] {
        let problems = load(None, &[("BALANCE_LISTEN", address)]).unwrap_err();
        assert!(problems.contains("behind_proxy (BALANCE_BEHIND_PROXY)"), "{problems}");
        let behind_proxy = [("BALANCE_LISTEN", address), ("BALANCE_BEHIND_PROXY", "true")];
        let problems = load(None, &behind_proxy).unwrap_err();
        assert!(problems.contains("database_url (BALANCE_DATABASE_URL): must be set"), "{problems}");
        let named = ("BALANCE_DATABASE_URL", "sqlite:balance.db");
        load(None, &[behind_proxy[0], behind_proxy[1], named]).unwrap();
    }
    load(None, &[("BALANCE_LISTEN", "[::1]:8080")]).unwrap();
}

#[test]
fn a_new_ledger_is_named_unless_nothing_is_configured() {
    let new_ledger = |file, environment| load(file, environment).unwrap().new_ledger;
    assert_eq!(new_ledger(None, &[]), NewLedger::IsMade);
    assert_eq!(new_ledger(None, &[("BALANCE_LISTEN", "127.0.0.1:1")]), NewLedger::IsRefused);
    assert_eq!(new_ledger(Some("[http]\nworkers = 1\n"), &[]), NewLedger::IsRefused);
    let named = [("BALANCE_LISTEN", "127.0.0.1:1"), ("BALANCE_DATABASE_URL", "sqlite:x.db")];
    assert_eq!(new_ledger(None, &named), NewLedger::IsMade);
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_binary_without_traces_refuses_a_collector() {
    let problems = load(None, &[("BALANCE_OTEL__ENDPOINT", "http://127.0.0.1:4318")]).unwrap_err();
    let expected = "otel.endpoint (BALANCE_OTEL__ENDPOINT): this binary was built without traces";
    assert!(problems.contains(expected), "{problems}");
    // The other two keys alone ask for nothing.
    load(Some("[otel]\nservice_name = \"money\"\nsample_ratio = 0.5\n"), &[]).unwrap();
}

#[cfg(feature = "otel")]
#[test]
fn a_collector_is_a_plain_address() {
    for (given, meant) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("http://collector/", "http://collector"),
        ("http://[::1]:4318/otlp", "http://[::1]:4318/otlp"),
    ] {
        let file = format!("[otel]\nendpoint = {given:?}\nsample_ratio = 0.25\n");
        let traces = load(Some(&file), &[]).unwrap().traces.unwrap();
        assert_eq!((traces.endpoint.as_str(), traces.sample_ratio), (meant, 0.25));
        assert_eq!(traces.service_name, "balance");
    }
    let secret = "http://u:canary-5e1f@host:4318";
    for refused in
        [secret, "https://host:4318", "host:4318", "http://", "http:///x", "http://:1", "http://a b"]
    {
        let problems = load(None, &[("BALANCE_OTEL__ENDPOINT", refused)]).unwrap_err();
        assert!(problems.contains("otel.endpoint") && !problems.contains("canary"), "{problems}");
    }
    assert!(load(None, &[]).unwrap().traces.is_none());
}

#[test]
fn a_ratio_is_from_0_to_1() {
    for refused in ["-0.1", "1.1", "NaN", "all"] {
        let problems = load(None, &[("BALANCE_OTEL__SAMPLE_RATIO", refused)]).unwrap_err();
        assert!(problems.contains("otel.sample_ratio"), "{problems}");
    }
}

/// Kubernetes sets these for a service that is named `balance`.
#[test]
fn variables_that_an_orchestrator_sets_are_not_ours() {
    let environment = [
        ("BALANCE_SERVICE_HOST", "10.0.0.1"),
        ("BALANCE_SERVICE_PORT_HTTP", "8080"),
        ("BALANCE_PORT", "tcp://10.0.0.1:8080"),
        ("BALANCE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("BALANCE_POSTGRES_SERVICE_HOST", "10.0.0.2"),
        ("BALANCE_POSTGRES_SERVICE_PORT", "5432"),
        ("BALANCE_POSTGRES_SERVICE_PORT_SQL", "5432"),
        ("BALANCE_POSTGRES_PORT", "tcp://10.0.0.2:5432"),
        ("BALANCE_POSTGRES_PORT_5432_TCP_PROTO", "tcp"),
        ("BALANCE_API_KEY", "bal_of_a_caller"),
        ("BALANCE_CONFIG", "/etc/balance.toml"),
        ("BALANCE_CURRENCY", ""),
        ("BALANCED", "x"),
    ];
    assert_eq!(load(None, &environment).unwrap().currency.code(), "RUB");
}

#[test]
fn what_is_shown_gives_the_same_configuration_again() {
    let environment = [
        ("BALANCE_LISTEN", "127.0.0.1:9999"),
        ("BALANCE_LOG_FILE__FOLDER", "a \"quoted\" \\ folder"),
        ("BALANCE_SWEEP_INTERVAL_MS", "0"),
    ];
    let first = load(None, &environment).unwrap();
    let again = load(Some(&first.shown.to_string()), &[]).unwrap();
    let values = |settings: &Settings| {
        let json = settings.shown.to_json();
        json.as_object().unwrap().values().map(|entry| entry["value"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&again));
    assert_eq!(again.log_file.unwrap().folder, PathBuf::from("a \"quoted\" \\ folder"));
    assert_eq!((again.listen.port(), again.sweep_interval), (9999, None));
}

#[test]
fn the_example_file_lists_every_key_with_its_default() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/balance.example.toml");
    let shown = load(None, &[]).unwrap().shown.to_string();
    assert_eq!(
        fs::read_to_string(example).unwrap(),
        shown,
        "run: balance config > deploy/balance.example.toml"
    );
}
