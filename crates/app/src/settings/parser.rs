//! Turns the text of each key into what is meant, and collects what cannot be.

use std::{path::PathBuf, time::Duration};

use super::{
    KEYS, Problem,
    database::HIDDEN,
    keys::Key,
    source::{Texts, described},
};

/// Reads keys one after another. A key that cannot be used is noted, and its default taken so that the others
/// can be looked at too.
pub(super) struct Parser {
    given: Texts,
    problems: Vec<Problem>,
}

impl Parser {
    pub(super) fn new(given: Texts, problems: Vec<Problem>) -> Self {
        Self { given, problems }
    }

    pub(super) fn given(&self) -> &Texts {
        &self.given
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The key's meaning. `parse` must accept the default and, for a secret, not repeat what it refuses.
    pub(super) fn value<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let key = key(name);
        if let Some(given) = self.given.get(name) {
            let parsed = if key.is_secret && given.text.contains(HIDDEN) {
                Err(format!("{HIDDEN} stands where `balance config` leaves a secret out"))
            } else {
                parse(&given.text)
            };
            match parsed {
                Ok(value) => return value,
                Err(why) => self.refuse(name, why),
            }
        }
        #[expect(clippy::expect_used, reason = "a test reads every default")]
        parse(key.default).expect("defaults are valid")
    }

    /// Like [`Parser::value`], and nothing for an empty text.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.value(name, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    pub(super) fn count(&mut self, name: &str, min: usize, max: usize) -> usize {
        let parse = whole(min as u64, max as u64);
        self.value(name, |text| usize::try_from(parse(text)?).map_err(|error| error.to_string()))
    }

    /// Notes that a key's value, which can be used by itself, does not go together with others.
    pub(super) fn refuse(&mut self, name: &str, why: String) {
        self.problems.push(Problem::new(&described(name), why));
    }

    pub(super) fn rate(&mut self, name: &str) -> u32 {
        self.value(name, |text| u32::try_from(whole(0, 1_000_000)(text)?).map_err(|error| error.to_string()))
    }
}

fn key(name: &str) -> &'static Key {
    #[expect(clippy::expect_used, reason = "a test reads every key")]
    KEYS.iter().find(|key| key.name == name).expect("every key is in the list")
}

/// A whole number within bounds.
pub(super) fn whole(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("{text:?} is not a whole number from {min} to {max}"))
    }
}

/// A time in milliseconds.
pub(super) fn milliseconds(min: u64, max: u64) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| whole(min, max)(text).map(Duration::from_millis)
}

/// A time in seconds.
pub(super) fn seconds(min: u64, max: u64) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| whole(min, max)(text).map(Duration::from_secs)
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the parser takes")]
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(text.into())
}

/// One of some words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is none of {}", words.join(", "))
        })
    }
}
