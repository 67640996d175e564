//! The binary `balance`: reads the configuration, wires the adapters to the domain, and runs one command.
//!
//! Reading order: [`cli`] (what can be asked), [`settings`] (the configuration), [`stores`] (which store),
//! [`serve`] (the service: wiring, background work, stopping).

mod audit;
mod cli;
mod clock;
mod keys;
mod report;
mod serve;
mod settings;
mod stores;
mod telemetry;
#[cfg(feature = "otel")]
mod traces;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    clock::SystemClock,
    settings::{Settings, Source},
    stores::Stores,
};

/// A deposit takes and gives back memory some forty times, partly on another thread (docs/performance.md). Without huge
/// pages: with them an idle service holds twice as much.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something could not be done. 1 is kept for an audit that found differences.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(cli).unwrap_or_else(|error| {
        eprintln!("balance: {error:#}");
        ExitCode::from(COULD_NOT_RUN)
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Openapi = command {
        return print(&balance_http::openapi_json());
    }
    let settings = Settings::load(Source::of_process(cli.config))?;
    match command {
        Command::Serve => serve::run(&settings),
        Command::Config => print(&settings.as_toml),
        Command::Backup { path } => {
            stores::backup(&settings, &path)?;
            eprintln!("{} is a whole copy", path.display());
            Ok(ExitCode::SUCCESS)
        }
        command => run_once(command, &settings),
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
    let stores = Stores::open(settings, Arc::new(SystemClock))?;
    match command {
        Command::Audit => return audit::run(stores.balances.as_ref()).await,
        Command::Report { month } => report::run(month, settings, &stores).await?,
        Command::Keys { command } => keys::run(command, stores.api_keys.as_ref()).await?,
        Command::Serve | Command::Migrate | Command::Openapi | Command::Backup { .. } | Command::Config => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
