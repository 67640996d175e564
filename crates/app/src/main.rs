//! The binary `balance`: reads the configuration, wires the adapters to the domain, and runs one command.
//!
//! Reading order: [`cli`] (what can be asked), [`settings`] (the configuration), [`stores`] (which store),
//! [`serve`] (the service: wiring, background work, stopping).

mod audit;
mod cli;
mod clock;
mod doctor;
mod folders;
mod health;
mod identity;
mod keys;
mod output;
mod report;
mod serve;
mod settings;
mod stores;
mod telemetry;
#[cfg(feature = "otel")]
mod traces;
mod version;

use std::{io, process::ExitCode, sync::Arc};

use balance_domain::ports::RepoError;

use crate::{
    cli::{Cli, Command, Flags, Output},
    clock::SystemClock,
    output::{complain, print, print_json},
    settings::{Database, Settings, Source},
    stores::Stores,
    version::Version,
};

/// A deposit takes and gives back memory some forty times, partly on another thread (docs/performance.md). Without huge
/// pages: with them an idle service holds twice as much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (cli, flags) = cli::parse();
    run(cli, flags).unwrap_or_else(|error| complain(&error))
}

fn run(cli: Cli, flags: Flags) -> anyhow::Result<ExitCode> {
    let Some(command) = unconfigured(cli.command.unwrap_or(Command::Serve))? else {
        return Ok(ExitCode::SUCCESS);
    };
    let settings = Settings::load(Source::of_process(cli.config, flags))?;
    match command {
        Command::Serve => serve::run(&settings),
        Command::Health { live } => health::run(settings.listen, live),
        Command::Config { output: Output { json: true } } => done(print_json(&settings.shown.to_json())),
        Command::Config { .. } => done(print(&settings.shown)),
        Command::Backup { path } => {
            stores::backup(&settings, &path)?;
            eprintln!("{} is a complete copy", path.display());
            Ok(ExitCode::SUCCESS)
        }
        command => run_once(command, &settings).map_err(|error| named(error, &settings.database)),
    }
}

/// Does what needs no configuration, and gives back what does.
fn unconfigured(command: Command) -> anyhow::Result<Option<Command>> {
    match command {
        Command::Openapi => print(balance_http::openapi_json())?,
        Command::Version { output: Output { json: true } } => print_json(&Version::as_json())?,
        Command::Version { .. } => print(Version)?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "balance", &mut text);
            print(String::from_utf8_lossy(&text))?;
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(cli::reference()).render(&mut text)?;
            print(String::from_utf8_lossy(&text))?;
        }
        command => return Ok(Some(command)),
    }
    Ok(None)
}

fn done(printed: io::Result<()>) -> anyhow::Result<ExitCode> {
    Ok(printed.map(|()| ExitCode::SUCCESS)?)
}

/// Adds which server it is that cannot be reached; a file is named by its store.
fn named(error: anyhow::Error, database: &Database) -> anyhow::Error {
    match (error.downcast_ref(), database) {
        (Some(RepoError::Unavailable(_)), Database::Postgres(_)) => {
            error.context(format!("{database} cannot be used"))
        }
        _ => error,
    }
}

/// A command that needs the store for a while.
#[tokio::main]
async fn run_once(command: Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    if let Command::Migrate = command {
        stores::migrate(settings).await?;
        eprintln!("the schema is up to date");
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Doctor { output } = command {
        return doctor::run(settings, output).await;
    }
    if let Command::Keys { command } = command {
        keys::run(command, stores::keys(settings)?.as_ref()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let stores = Stores::open(settings, Arc::new(SystemClock))?;
    match command {
        Command::Audit { output } => return audit::run(&stores, output).await,
        Command::Report { month, output } => report::run(month, settings, &stores, output).await?,
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}
