//! What a start says on stderr: a block for the person who typed the command, or one line of JSON where nobody reads.

use std::{
    fmt,
    io::{self, IsTerminal},
    net::SocketAddr,
};

use balance_http::AccessMode;
use serde_json::json;

use crate::{
    settings::Settings,
    version::{COMMIT, VERSION},
};

/// What there is to say.
pub(super) struct Start {
    ledger: String,
    address: SocketAddr,
    /// Where the pages about the API are: on the operators' address, if there is one.
    pages: SocketAddr,
    access: AccessMode,
    /// Why the database cannot be used yet.
    failure: Option<String>,
}

impl Start {
    pub(super) fn new(
        settings: &Settings,
        address: SocketAddr,
        admin_address: Option<SocketAddr>,
        access: AccessMode,
        failure: Option<String>,
    ) -> Self {
        let pages = admin_address.unwrap_or(address);
        Self { ledger: settings.database.to_string(), address, pages, access, failure }
    }

    /// Says it, here and in the log.
    pub(super) fn say(&self) {
        if io::stderr().is_terminal() {
            eprintln!("{self}");
        } else {
            eprintln!("{}", self.to_json());
        }
        let Self { ledger, address, failure, .. } = self;
        let (version, commit, access) = (VERSION, COMMIT, self.access_name());
        tracing::info!(version, commit, ledger, %address, access, failure, "serving");
    }

    fn access_name(&self) -> &'static str {
        match self.access {
            AccessMode::Open => "open",
            AccessMode::Keys => "keys",
            AccessMode::Unknown => "unknown",
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let Self { ledger, address, pages, failure, .. } = self;
        json!({
            "message": "serving",
            "version": VERSION,
            "commit": COMMIT,
            "ledger": ledger,
            "api": format!("http://{address}/api/v1"),
            "page": format!("http://{pages}/swagger/index.html"),
            "access": self.access_name(),
            "failure": failure,
        })
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, address, pages, access, failure } = self;
        writeln!(f, "balance {VERSION} ({COMMIT})\n")?;
        writeln!(f, "  ledger  {ledger}")?;
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
        Start { ledger, address, pages: address, access, failure: failure.map(str::to_owned) }
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
    fn what_is_missing_is_said() {
        let text = start(AccessMode::Unknown, Some("the server refuses the password")).to_string();
        assert!(
            text.contains("cannot be used yet") && text.contains("the server refuses the password"),
            "{text}"
        );
    }
}
