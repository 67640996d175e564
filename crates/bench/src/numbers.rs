//! Numbers on the command line that make no sense: refused by name before anything is started.

use clap::builder::RangedU64ValueParser;

/// For seconds and rates: more than zero.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match not_negative(text)? {
        0.0 => Err("must be more than 0".to_owned()),
        number => Ok(number),
    }
}

/// For seconds that may be left out.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    /// A week of seconds; more than any server answers in one.
    const MAX: f64 = 604_800.0;
    match text.parse::<f64>() {
        Ok(number) if (0.0..=MAX).contains(&number) => Ok(number),
        Ok(_) => Err(format!("must be from 0 to {MAX}")),
        Err(error) => Err(error.to_string()),
    }
}

/// For counts: at least one.
pub(crate) fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1_000_000)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::Cli;

    #[test]
    fn only_numbers_that_mean_something_are_taken() {
        assert_eq!(positive("0.04"), Ok(0.04));
        assert_eq!(not_negative("0"), Ok(0.0));
        for refused in ["0", "-1", "inf", "NaN", "1e9", "", "two"] {
            assert!(positive(refused).is_err(), "{refused}");
        }
        for refused in ["-0.1", "inf", "NaN"] {
            assert!(not_negative(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn every_number_of_the_command_line_is_looked_at() {
        for refused in [
            "run --seconds=-1",
            "run --seconds=0",
            "run --rate=0",
            "run --rounds=0",
            "run --users=0",
            "run --connections=64,0",
            "targets --seconds=-1",
            "targets --rounds=0",
            "targets --users=0",
            "targets --warm-up=-5",
            "targets --write-rate=0",
        ] {
            let words = ["balance-bench"].into_iter().chain(refused.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{refused}");
        }
        let words = "balance-bench targets --seconds 0.04 --rounds 1 --users 1000 --warm-up 0.5".split(' ');
        assert!(Cli::try_parse_from(words).is_ok());
    }
}
