//! What stands in one cell: text that no spreadsheet runs as a formula, amounts without floats.

use balance_domain::Currency;

/// Characters that make a spreadsheet take a cell for a formula when they come first, in their full-width
/// forms too (OWASP "CSV Injection", ASVS 5 1.2.10).
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// The text in quotes, behind a `'` where a spreadsheet would take it for a formula. Always in quotes: a spreadsheet
/// of another country takes another character for the separator, and what comes behind that for a cell.
pub(crate) fn text(text: &str) -> String {
    let guard = if text.starts_with(FORMULA_STARTS) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// Minor units as major units with the currency's decimals: of roubles `-5` is `-0.05`, of yens `-5`.
pub(crate) fn major_units(minor: i128, currency: Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let (magnitude, decimals) = (minor.unsigned_abs(), usize::from(currency.decimals()));
    if decimals == 0 {
        return format!("{sign}{magnitude}");
    }
    let unit = 10_u128.pow(currency.decimals().into());
    format!("{sign}{}.{:0decimals$}", magnitude / unit, magnitude % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_08_amounts_are_written_by_integer_arithmetic() {
        for (minor, written) in [
            (0, "0.00"),
            (1, "0.01"),
            (-1, "-0.01"),
            (-5, "-0.05"),
            (15, "0.15"),
            (99, "0.99"),
            (100, "1.00"),
            (-100, "-1.00"),
            (16_777_217, "167772.17"),
            (9_007_199_254_740_993, "90071992547409.93"),
            (i128::MAX, "1701411834604692317316873037158841057.27"),
            (i128::MIN, "-1701411834604692317316873037158841057.28"),
        ] {
            assert_eq!(major_units(minor, Currency::RUB), written);
        }
        for (code, written) in
            [("JPY", "-1234567"), ("KWD", "-1234.567"), ("CLF", "-123.4567"), ("EUR", "-12345.67")]
        {
            assert_eq!(major_units(-1_234_567, Currency::new(code).unwrap()), written);
        }
    }

    #[test]
    fn text_is_quoted_and_only_what_starts_like_a_formula_is_changed() {
        for start in FORMULA_STARTS {
            assert_eq!(text(&format!("{start}1")), format!("\"'{start}1\""));
            assert_eq!(text(&format!("1{start}")), format!("\"1{start}\""));
        }
        for (given, written) in [
            ("", "\"\""),
            ("Такси", "\"Такси\""),
            ("a\"b", "\"a\"\"b\""),
            ("a,=1", "\"a,=1\""),
            ("12", "\"12\""),
        ] {
            assert_eq!(text(given), written);
        }
    }
}
