//! What a start says on stderr: a block for the person who typed the command, or one line of JSON where nobody reads.

use std::{
    fmt,
    io::{self, IsTerminal},
    net::SocketAddr,
};

use balance_http::AccessMode;
use serde_json::json;

use super::ACCOUNTS_COUNTED_MAX;
use crate::version::{COMMIT, VERSION};

/// What there is to say.
pub(super) struct Start {
    /// Which store, as people name it.
    pub(super) ledger: String,
    /// How many accounts it has, counted up to a bound; nothing while it cannot be used.
    pub(super) accounts: Option<u64>,
    pub(super) address: SocketAddr,
    /// Where the pages about the API are: on the operators' address, if there is one.
    pub(super) pages: SocketAddr,
    pub(super) access: AccessMode,
    /// Why the database cannot be used yet.
    pub(super) failure: Option<String>,
}

impl Start {
    /// Says it, here and in the log.
    pub(super) fn say(&self) {
        if io::stderr().is_terminal() {
            eprintln!("{self}");
        } else {
            eprintln!("{}", self.to_json());
        }
        let Self { ledger, accounts, address, failure, .. } = self;
        let (version, commit, access) = (VERSION, COMMIT, self.access_name());
        tracing::info!(version, commit, ledger, accounts, %address, access, failure, "serving");
    }

    fn access_name(&self) -> &'static str {
        match self.access {
            AccessMode::Open => "open",
            AccessMode::Keys => "keys",
            AccessMode::Unknown => "unknown",
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let Self { ledger, accounts, address, pages, failure, .. } = self;
        json!({
            "message": "serving",
            "version": VERSION,
            "commit": COMMIT,
            "ledger": ledger,
            "accounts": accounts,
            "new": accounts.map(|count| count == 0),
            "api": format!("http://{address}/api/v1"),
            "page": format!("http://{pages}/swagger/index.html"),
            "access": self.access_name(),
            "failure": failure,
        })
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, accounts, address, pages, access, failure } = self;
        writeln!(f, "balance {VERSION} ({COMMIT})\n")?;
        writeln!(f, "  ledger  {ledger}")?;
        match accounts {
            None => {}
            Some(0) => writeln!(f, "          NEW: it has no accounts yet")?,
            Some(1) => writeln!(f, "          1 account")?,
            Some(count) if *count >= ACCOUNTS_COUNTED_MAX.into() => {
                writeln!(f, "          {count} accounts or more")?;
            }
            Some(count) => writeln!(f, "          {count} accounts")?,
        }
        if let Some(failure) = failure {
            writeln!(f, "          cannot be used yet, calls are answered 503: {failure}")?;
        }
        writeln!(f, "  API     http://{address}/api/v1")?;
        writeln!(f, "  page    http://{pages}/swagger/index.html")?;
        let keys = match access {
            AccessMode::Open => {
                "none: everybody on this machine may do everything, until `balance keys create` makes one"
            }
            AccessMode::Keys => "callers need one",
            AccessMode::Unknown => "not read yet: nobody is let in",
        };
        writeln!(f, "  keys    {keys}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(access: AccessMode, failure: Option<&str>) -> Start {
        let (ledger, address) =
            ("PostgreSQL balance@db/balance".to_owned(), "127.0.0.1:8080".parse().unwrap());
        Start { ledger, accounts: None, address, pages: address, access, failure: failure.map(str::to_owned) }
    }

    #[test]
    fn a_person_and_a_program_read_the_same() {
        let start = start(AccessMode::Open, None);
        let (text, json) = (start.to_string(), start.to_json());
        for key in ["version", "commit", "ledger", "api", "page"] {
            assert!(text.contains(json[key].as_str().unwrap()), "{key} is not in {text}");
        }
        assert!(text.contains("balance keys create") && json["access"] == "open");
        assert!(json["failure"].is_null());
    }

    #[test]
    fn an_empty_ledger_is_said_to_be_new() {
        let mut start = start(AccessMode::Keys, None);
        for (accounts, text, new) in [
            (Some(0), "NEW: it has no accounts yet", json!(true)),
            (Some(1), "  1 account\n", json!(false)),
            (Some(9_999), "  9999 accounts\n", json!(false)),
            (Some(10_000), "  10000 accounts or more\n", json!(false)),
        ] {
            start.accounts = accounts;
            assert!(start.to_string().contains(text), "{start}");
            assert_eq!((&start.to_json()["new"], &start.to_json()["accounts"]), (&new, &json!(accounts)));
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let text = start(AccessMode::Unknown, Some("the server refuses the password")).to_string();
        assert!(
            text.contains("cannot be used yet") && text.contains("the server refuses the password"),
            "{text}"
        );
    }
}
