//! Russian and English: which of them a visitor reads, and how amounts, times and numbers of things are written.

use actix_web::{HttpRequest, http::header::ACCEPT_LANGUAGE};
use balance_domain::ports::SpreadsheetLanguage;

use crate::session::sent_cookie;

/// The cookie that keeps a visitor's choice.
pub(crate) const COOKIE: &str = "balance_language";

/// A language of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Russian,
}

impl Language {
    /// The language of this code.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::English),
            "ru" => Some(Self::Russian),
            _ => None,
        }
    }

    /// Its code, for `lang` and for the cookie.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
        }
    }

    /// The other one, and its own name for itself.
    pub(crate) const fn other(self) -> (Self, &'static str) {
        match self {
            Self::English => (Self::Russian, "Русский"),
            Self::Russian => (Self::English, "English"),
        }
    }

    /// Whose spreadsheet a file is for.
    pub(crate) const fn spreadsheet(self) -> SpreadsheetLanguage {
        match self {
            Self::English => SpreadsheetLanguage::English,
            Self::Russian => SpreadsheetLanguage::Russian,
        }
    }

    /// The visitor's choice, or what the browser prefers.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        if let Some(chosen) = sent_cookie(request, COOKIE).and_then(|code| Self::of_code(&code)) {
            return chosen;
        }
        let header = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        header.map_or(Self::English, preferred)
    }
}

/// The first of our languages by the browser's weights.
fn preferred(header: &str) -> Language {
    let mut best = (Language::English, 0.0);
    for part in header.split(',') {
        let (tag, weight) = part.split_once(";q=").unwrap_or((part, "1"));
        let tag = tag.trim().get(..2).unwrap_or_default().to_ascii_lowercase();
        let weight: f32 = weight.trim().parse().unwrap_or(0.0);
        if let Some(language) = Language::of_code(&tag)
            && weight > best.1
        {
            best = (language, weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_says_which_language_it_prefers() {
        for (header, language) in [
            ("ru-RU,ru;q=0.9,en-US;q=0.8", Language::Russian),
            ("en-GB,en;q=0.9,ru;q=0.8", Language::English),
            ("de-DE,de;q=0.9,ru;q=0.5,en;q=0.4", Language::Russian),
            ("de", Language::English),
            ("", Language::English),
            ("ru;q=0", Language::English),
        ] {
            assert_eq!(preferred(header), language, "{header}");
        }
    }
}
