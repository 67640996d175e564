//! What commands print: results on stdout, complaints on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use balance_domain::ports::RepoError;
use serde_json::Value;

/// Something could not be done. 1 is kept for an audit that found differences, and checks that failed.
const COULD_NOT_RUN: u8 = 2;

/// Nobody reads stdout any more (`balance openapi | head`): the status that shells give to a program that a broken
/// pipe ended.
const BROKEN_PIPE: u8 = 141;

/// Prints a result.
pub(crate) fn print(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}

/// Prints a result for programs.
pub(crate) fn print_json(value: &Value) -> io::Result<()> {
    print(format_args!("{value:#}\n"))
}

/// Says why a command could not be done, and gives the status of the process.
pub(crate) fn complain(error: &anyhow::Error) -> ExitCode {
    let is_broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_broken_pipe) {
        return ExitCode::from(BROKEN_PIPE);
    }
    eprintln!("balance: {}", reasons(error).join("\n  "));
    ExitCode::from(COULD_NOT_RUN)
}

/// What could not be done, then why: a line for each reason, so that nobody has to take a chain of colons apart.
pub(crate) fn reasons(error: &anyhow::Error) -> Vec<String> {
    error
        .chain()
        .flat_map(|cause| cause.downcast_ref().map_or_else(|| vec![cause.to_string()], failure))
        .collect()
}

/// The same of a store's failure.
pub(crate) fn failure(error: &RepoError) -> Vec<String> {
    match error {
        RepoError::Unavailable(cause) => cause.reasons(),
        RepoError::Overloaded | RepoError::ClockUnsafe(_) => vec![error.to_string()],
        RepoError::Unknown(cause) | RepoError::Internal(cause) => {
            let text = error.to_string();
            let what = text.split(':').next().unwrap_or_default().to_owned();
            std::iter::once(what).chain(cause.reasons()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn each_reason_is_a_line() {
        let inner = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = anyhow!(RepoError::Unavailable(inner.into())).context("the database cannot be used");
        assert_eq!(reasons(&error), ["the database cannot be used", "no such file"]);
        let error = anyhow!(RepoError::Internal("a row is damaged".into()));
        assert_eq!(reasons(&error), ["internal failure", "a row is damaged"]);
    }

    #[test]
    fn a_reader_that_went_away_is_no_complaint() {
        let closed =
            Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing").unwrap_err();
        assert_eq!(complain(&closed), ExitCode::from(BROKEN_PIPE));
        assert_eq!(complain(&anyhow!("no")), ExitCode::from(COULD_NOT_RUN));
    }
}
