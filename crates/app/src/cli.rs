//! The command line.

use std::path::PathBuf;

use balance_domain::{ApiKeyId, Month, Scope};
use clap::{Args, Parser, Subcommand};

/// Keeps the money balances of a company's users, over HTTP.
///
/// Without a command it serves. Configuration comes from balance.toml (or --config) and from the environment,
/// which goes first; `balance config` shows every key. Exit codes: 0 done, 1 the audit found differences,
/// 2 could not run, 130 stopped by a second signal.
#[derive(Debug, Parser)]
#[command(name = "balance", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Configuration file in TOML; balance.toml of the working directory if it is there
    #[arg(long, global = true, value_name = "FILE", env = "BALANCE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API until a signal comes (the default)
    ///
    /// SIGTERM or SIGINT: no new connections, accepted requests are answered, queued work is committed. A second
    /// signal quits at once.
    Serve,
    /// Bring the schema of the database up to date and exit
    Migrate,
    /// Build a month's revenue report and say where the CSV file is
    Report {
        /// The month, YYYY-MM
        month: Month,
    },
    /// Prove the ledger: fold every operation again and compare with balances and reservations
    ///
    /// Lists what differs. Exit code 0 if all adds up, 1 if not, 2 if the audit could not run.
    Audit,
    /// API keys: create, list, revoke
    ///
    /// A running service on PostgreSQL takes notice within two seconds. With SQLite the file belongs to the running
    /// service: stop it for these commands, or give it a first key as `admin_key` (`BALANCE_ADMIN_KEY`).
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Write a copy of the SQLite database, of one moment, while the service runs or not
    ///
    /// To restore, put the copy in the place of the database. For PostgreSQL use its own tools (`pg_dump`,
    /// `pg_basebackup`).
    Backup {
        /// The new file; it must not exist
        path: PathBuf,
    },
    /// Print the configuration in effect, as a file would give it, secrets hidden
    Config,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key. The token goes to stdout and is never shown again
    Create(NewKey),
    /// List all keys, revoked and expired ones included
    List,
    /// Take a key back for good
    Revoke {
        /// The 12 hexadecimal digits after bal_
        #[arg(value_parser = |id: &str| ApiKeyId::new(id))]
        id: ApiKeyId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// Whom or what it is for
    #[arg(long, value_parser = key_name)]
    pub(crate) name: String,
    /// What it may be used for; may be given more than once
    #[arg(long = "scope", required = true, value_delimiter = ',', value_parser = scope, long_help = scopes_help())]
    pub(crate) scopes: Vec<Scope>,
    /// Until when; for ever if left out
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) expires_in_days: Option<u32>,
}

fn scope(name: &str) -> Result<Scope, String> {
    name.parse().map_err(|_| format!("the scopes are {}", scope_names()))
}

fn scope_names() -> String {
    Scope::ALL.map(Scope::as_str).join(", ")
}

fn scopes_help() -> String {
    format!("What it may be used for; may be given more than once: {}", scope_names())
}

fn key_name(name: &str) -> Result<String, &'static str> {
    let is_fine = (1..=255).contains(&name.len()) && !name.chars().any(char::is_control);
    if is_fine { Ok(name.to_owned()) } else { Err("a name is 1 to 255 bytes without control characters") }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn scopes_may_be_repeated_or_listed() {
        let line =
            ["balance", "keys", "create", "--name", "n", "--scope", "deposit,report", "--scope", "admin"];
        let cli = Cli::try_parse_from(line).unwrap();
        let Some(Command::Keys { command: KeysCommand::Create(key) }) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(key.scopes, [Scope::Deposit, Scope::Report, Scope::Admin]);
    }
}
