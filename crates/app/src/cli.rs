//! The command line: the commands, and a flag for every setting.

use std::{ffi::OsString, path::PathBuf};

use balance_domain::{ApiKeyId, Invalid, KeyDays, KeyName, Month, NewApiKey, Scope};
use clap::{
    Arg, ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource,
};
use clap_complete::Shell;

use crate::{
    settings::{KEYS, Key},
    version,
};

/// Keeps the money balances of a company's users, over HTTP.
///
/// Without a command it serves. Settings come from flags, from the environment, and from balance.toml (or --config),
/// in this order; every key of `balance config` is a flag too: http.workers is --http-workers.
///
/// Exit codes: 0 done, 1 the audit found differences or a check failed, 2 could not run, 130 stopped by a second
/// signal.
#[derive(Debug, Parser)]
#[command(name = "balance", version = version::SHORT, max_term_width = 100)]
pub(crate) struct Cli {
    /// Configuration file in TOML; balance.toml of the working directory if it is there
    #[arg(long, global = true, value_name = "FILE", env = "BALANCE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "log")]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API until a signal comes (the default)
    ///
    /// SIGTERM or SIGINT: no new connections, accepted requests are answered, queued work is committed. With
    /// --drain-seconds SIGTERM first makes the service unready for that time. A second signal quits at once.
    Serve,
    /// Bring the schema of the database up to date and exit
    Migrate,
    /// Build a month's revenue report and say where the CSV file is
    Report {
        /// The month, YYYY-MM
        month: Month,
        #[command(flatten)]
        output: Output,
    },
    /// Prove the ledger: fold every operation again and compare with balances and reservations
    ///
    /// Lists what differs. Exit code 0 if all adds up, 1 if not, 2 if the audit could not run.
    Audit {
        #[command(flatten)]
        output: Output,
    },
    /// API keys: create, list, revoke
    ///
    /// Beside a running service or without one; a running one takes notice within two seconds. The same over HTTP:
    /// `POST`, `GET` and `DELETE /api/v1/keys`, with a key that has the scope `admin`.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Ask a running service whether it is ready
    ///
    /// Asks at the configured address of this machine. Exit code 0 if it is, 1 if it is not or does not answer.
    Health {
        /// Only whether the process answers, ready or not
        #[arg(long)]
        live: bool,
    },
    /// Look for what would go wrong: settings, clock, disk, rights, durability, limits
    ///
    /// Changes nothing, and may run beside a running service. Exit code 0 if nothing would, 1 otherwise.
    Doctor {
        #[command(flatten)]
        output: Output,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Write a copy of the SQLite database, a consistent snapshot, while the service runs or not
    ///
    /// To restore, put the copy where the database was. For PostgreSQL use its own tools (`pg_dump`, `pg_basebackup`).
    Backup {
        /// The new file; it must not exist
        path: PathBuf,
    },
    /// Print the configuration in effect, as a file would give it, with the origin of each value, secrets hidden
    Config {
        #[command(flatten)]
        output: Output,
    },
    /// Print version, commit and what was built in
    Version {
        #[command(flatten)]
        output: Output,
    },
    /// Print completions for a shell: `balance completions bash > /etc/bash_completion.d/balance`
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page: `balance man > /usr/local/share/man/man1/balance.1`
    Man,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key. The token goes to stdout and is never shown again
    Create(NewKey),
    /// List all keys, revoked and expired ones included
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a key for good
    Revoke {
        /// The 12 hexadecimal digits after bal_
        #[arg(value_parser = |id: &str| ApiKeyId::new(id))]
        id: ApiKeyId,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// Who or what it is for
    #[arg(long, value_parser = |name: &str| KeyName::new(name))]
    pub(crate) name: KeyName,
    /// What it may be used for; may be given more than once
    #[arg(long = "scope", required = true, value_delimiter = ',', value_parser = scope, long_help = scopes_help())]
    pub(crate) scopes: Vec<Scope>,
    /// Until when; for ever if left out
    #[arg(long, value_name = "DAYS", value_parser = key_days)]
    pub(crate) expires_in_days: Option<KeyDays>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl From<NewKey> for NewApiKey {
    fn from(NewKey { name, scopes, expires_in_days, output: _ }: NewKey) -> Self {
        Self { name, scopes, expires_in_days }
    }
}

/// What the command line says about settings, by key.
pub(crate) type Flags = Vec<(&'static Key, String)>;

/// Reads the command line of this process. Ends it where that cannot be read, or asks for help.
pub(crate) fn parse() -> (Cli, Flags) {
    read(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn read(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<(Cli, Flags), clap::Error> {
    let matches = command().try_get_matches_from(line)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let mut flags = flags(&matches);
    if let Some(filter) = filter_of(cli.verbose) {
        flags.extend(KEYS.iter().find(|key| key.name == "log").map(|key| (key, filter.to_owned())));
    }
    Ok((cli, flags))
}

/// The whole command line, the flags of the settings included.
pub(crate) fn command() -> clap::Command {
    flag_keys().fold(Cli::command(), |command, key| command.arg(flag(key)))
}

/// The whole command line for a reference, which lists every flag.
pub(crate) fn reference() -> clap::Command {
    flag_keys().fold(command(), |command, key| command.mut_arg(key.name, |flag| flag.hide(false)))
}

/// Every key but the secret that names no place: others on the machine can read a command line.
fn flag_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.name != "admin_key")
}

fn flag(key: &'static Key) -> Arg {
    let long = &key.flag()[2..];
    let help = key.help.replace('\n', " ");
    let flag = Arg::new(key.name).long(long.to_owned()).global(true).help(help).hide(!key.is_usual);
    let flag = flag.help_heading("Settings");
    if key.is_switch() {
        flag.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
    } else {
        flag.value_name("VALUE")
    }
}

fn flags(matches: &ArgMatches) -> Flags {
    let given = |key: &&Key| matches.value_source(key.name) == Some(ValueSource::CommandLine);
    let value = |key: &'static Key| Some((key, matches.get_one::<String>(key.name)?.clone()));
    flag_keys().filter(given).filter_map(value).collect()
}

/// What `-v` stands for.
fn filter_of(verbose: u8) -> Option<&'static str> {
    match verbose {
        0 => None,
        1 => Some("info,balance=debug"),
        _ => Some("info,balance=trace"),
    }
}

fn key_days(days: &str) -> Result<KeyDays, String> {
    let days: u16 = days.parse().map_err(|_| Invalid::KeyDays.to_string())?;
    KeyDays::new(days).map_err(|invalid| invalid.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
        reference().debug_assert();
    }

    #[test]
    fn scopes_may_be_repeated_or_listed() {
        let line =
            ["balance", "keys", "create", "--name", "n", "--scope", "deposit,report", "--scope", "admin"];
        let (cli, _) = read(line).unwrap();
        let Some(Command::Keys { command: KeysCommand::Create(key) }) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(key.scopes, [Scope::Deposit, Scope::Report, Scope::Admin]);
    }

    /// The flags that a command line gives.
    fn given(line: &[&str]) -> Vec<(&'static str, String)> {
        let (_, flags) = read(["balance"].iter().chain(line)).unwrap();
        flags.into_iter().map(|(key, text)| (key.name, text)).collect()
    }

    #[test]
    fn every_setting_but_the_secret_is_a_flag_before_or_after_the_command() {
        for key in flag_keys() {
            let flag = format!("{}=x", key.flag());
            assert_eq!(given(&[&flag]), [(key.name, "x".to_owned())]);
            assert_eq!(given(&["keys", "list", &flag]), [(key.name, "x".to_owned())]);
        }
        assert_eq!(given(&["--behind-proxy", "serve"]), [("behind_proxy", "true".to_owned())]);
        assert_eq!(given(&["serve", "-v"]), [("log", "info,balance=debug".to_owned())]);
        assert_eq!(given(&[]), []);
        for refused in [&["--admin-key", "x"][..], &["--port", "1"], &["-v", "--log", "info"]] {
            assert!(read(["balance"].iter().chain(refused)).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn help_is_wrapped_and_a_reference_lists_every_flag() {
        let help = command().term_width(100).render_long_help().to_string();
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{longest:?}");
        assert!(help.contains("--listen") && !help.contains("--http-body-bytes-max"), "{help}");
        assert!(reference().render_long_help().to_string().contains("--http-body-bytes-max"));
    }
}
