//! Amounts as people write them. Integers only: no amount ever becomes a floating-point number.

use std::fmt::Write;

use balance_domain::{Amount, Currency};

use crate::language::Language;

/// Between groups of digits, and before the sign of the currency.
const NO_BREAK_SPACE: char = '\u{a0}';

/// How amounts of the ledger's currency are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Money(pub(crate) Currency);

impl Money {
    /// The sign that stands behind an amount, or the code where there is no usual one.
    fn sign(&self) -> &str {
        match self.code() {
            "RUB" => "₽",
            "USD" => "$",
            "EUR" => "€",
            "GBP" => "£",
            "KZT" => "₸",
            "UAH" => "₴",
            "TRY" => "₺",
            "CNY" | "JPY" => "¥",
            code => code,
        }
    }

    /// The code.
    pub(crate) fn code(&self) -> &str {
        self.0.code()
    }

    /// `1 250,50 ₽` or `1,250.50 ₽`.
    pub(crate) fn write(self, minor: i128, language: Language) -> String {
        format!("{}{NO_BREAK_SPACE}{}", self.digits(minor, language), self.sign())
    }

    /// The same with its sign, plus included.
    pub(crate) fn write_signed(self, minor: i128, language: Language) -> String {
        let sign = if minor > 0 { "+" } else { "" };
        format!("{sign}{}", self.write(minor, language))
    }

    /// The amount as a field of a form holds it: digits and a separator.
    pub(crate) fn plain(self, minor: i128, language: Language) -> String {
        let digits = self.digits(minor, language);
        digits
            .chars()
            .filter(|c| *c != NO_BREAK_SPACE && (language == Language::Russian || *c != ','))
            .collect()
    }

    fn digits(self, minor: i128, language: Language) -> String {
        let (group, point) = match language {
            Language::English => (',', '.'),
            Language::Russian => (NO_BREAK_SPACE, ','),
        };
        let unit = 10_u128.pow(self.0.decimals().into());
        let magnitude = minor.unsigned_abs();
        let whole = (magnitude / unit).to_string();
        let mut text = String::with_capacity(whole.len() * 2 + 4);
        if minor < 0 {
            // The sign of subtraction: as wide as a digit, and never broken off.
            text.push('−');
        }
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push(group);
            }
            text.push(digit);
        }
        if self.0.decimals() > 0 {
            let width = usize::from(self.0.decimals());
            text.push(point);
            // Writing to a string cannot fail.
            let _ = write!(text, "{:0width$}", magnitude % unit);
        }
        text
    }

    /// What a person typed: `1250`, `1250.5`, `1 250,50`, `1,250.50`. Nothing that could mean two amounts: `1,250`
    /// may be one and a quarter or a thousand and more.
    pub(crate) fn read(self, text: &str) -> Option<Amount> {
        let text = text.trim().trim_end_matches(self.sign()).trim_end_matches(self.code()).trim();
        let (whole, fraction) = match text.rfind(['.', ',']) {
            None => (text, ""),
            Some(at) => (&text[..at], &text[at + 1..]),
        };
        let has_point = text.len() > whole.len();
        let width = usize::from(self.0.decimals());
        if has_point && (fraction.is_empty() || fraction.len() > width) {
            return None;
        }
        // Thousands may be set apart by spaces, or by the separator that is not the decimal one.
        let other = if text[whole.len()..].starts_with('.') { ',' } else { '.' };
        let groups: Vec<&str> = whole
            .split(|c: char| c.is_whitespace() || c == '\u{202f}' || (has_point && c == other))
            .collect();
        let is_grouped =
            groups.iter().skip(1).all(|group| group.len() == 3) && (1..=3).contains(&groups[0].len());
        if groups.len() > 1 && !is_grouped {
            return None;
        }
        let digits = format!("{}{fraction:0<width$}", groups.concat());
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) || groups.concat().is_empty() {
            return None;
        }
        Amount::new(digits.parse().ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUBLES: Money = Money(Currency::RUB);

    fn of(code: &str) -> Money {
        Money(Currency::new(code).unwrap())
    }

    #[test]
    fn amounts_are_written_as_each_language_does() {
        for (minor, english, russian) in [
            (125_050, "1,250.50\u{a0}₽", "1\u{a0}250,50\u{a0}₽"),
            (5, "0.05\u{a0}₽", "0,05\u{a0}₽"),
            (-100, "−1.00\u{a0}₽", "−1,00\u{a0}₽"),
            (100_000_000, "1,000,000.00\u{a0}₽", "1\u{a0}000\u{a0}000,00\u{a0}₽"),
            (0, "0.00\u{a0}₽", "0,00\u{a0}₽"),
        ] {
            assert_eq!(ROUBLES.write(minor, Language::English), english);
            assert_eq!(ROUBLES.write(minor, Language::Russian), russian);
        }
        assert_eq!(ROUBLES.write_signed(100, Language::English), "+1.00\u{a0}₽");
        assert_eq!(of("JPY").write(1_250, Language::English), "1,250\u{a0}¥");
        assert_eq!(of("CHF").write(100, Language::English), "1.00\u{a0}CHF");
    }

    #[test]
    fn amounts_are_read_as_people_type_them() {
        for (text, minor) in [
            ("1250", 125_000),
            ("1250.5", 125_050),
            ("1250,50", 125_050),
            ("1 250,50", 125_050),
            ("1\u{a0}250,50\u{a0}₽", 125_050),
            ("1\u{202f}250", 125_000),
            ("1,250.50", 125_050),
            ("1.250,50", 125_050),
            ("0,05", 5),
            (" 300 RUB ", 30_000),
            ("90071992547409.91", 9_007_199_254_740_991),
        ] {
            assert_eq!(ROUBLES.read(text).map(Amount::get), Some(minor), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_amounts_is_refused() {
        for text in [
            "",
            "0",
            "0,00",
            "-5",
            "+5",
            "1,250",
            "1.250",
            "12 50",
            "1 2500",
            "1,2,3",
            "1.2.3",
            ".",
            ",5",
            "5.",
            "1e3",
            "0x10",
            "٣",
            "1'250",
            "90071992547409.92",
            "five",
            "1,25.00",
            "1 250.505",
        ] {
            assert_eq!(ROUBLES.read(text), None, "{text}");
        }
        assert_eq!(of("JPY").read("1.5"), None);
    }

    #[test]
    fn a_field_holds_what_is_read_back() {
        for language in [Language::English, Language::Russian] {
            let plain = ROUBLES.plain(123_456_789, language);
            assert_eq!(ROUBLES.read(&plain).map(Amount::get), Some(123_456_789), "{plain}");
        }
    }
}
