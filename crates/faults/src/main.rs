//! The command line of the fault tests.

mod cli;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "balance-faults: {error:#}"));
            ExitCode::from(2)
        }
    }
}
