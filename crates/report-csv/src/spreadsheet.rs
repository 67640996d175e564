//! A month for people with a spreadsheet: opened by a double click, it shows Cyrillic as such, amounts as numbers,
//! and says what it is: the period, whether it is final, the currency, and a total.

use balance_domain::{
    Currency, RevenueReport,
    ports::{Spreadsheet, SpreadsheetLanguage},
};
use csv::{Error, QuoteStyle, Terminator, WriterBuilder};

use crate::cell;

/// Without it Excel takes the text for one of an encoding of the machine's language.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The words and signs of a language.
struct Words {
    separator: u8,
    point: &'static str,
    heads: [&'static str; 8],
    is_final: &'static str,
    is_preliminary: &'static str,
    total: &'static str,
}

const RUSSIAN: Words = Words {
    separator: b';',
    point: ",",
    heads: ["Период", "Состояние", "Номер услуги", "Услуга", "Списано", "Возвращено", "Итого", "Валюта"],
    is_final: "окончательно",
    is_preliminary: "предварительно",
    total: "Всего",
};

const ENGLISH: Words = Words {
    separator: b',',
    point: ".",
    heads: ["Period", "State", "Service number", "Service", "Captured", "Refunded", "Net", "Currency"],
    is_final: "final",
    is_preliminary: "preliminary",
    total: "Total",
};

/// One row per service and one for all of them.
pub(crate) fn write(
    report: &RevenueReport,
    currency: Currency,
    language: SpreadsheetLanguage,
) -> Result<Spreadsheet, Error> {
    let words = match language {
        SpreadsheetLanguage::Russian => RUSSIAN,
        SpreadsheetLanguage::English => ENGLISH,
    };
    let mut rows = WriterBuilder::new()
        .delimiter(words.separator)
        .quote_style(QuoteStyle::Never)
        .terminator(Terminator::CRLF)
        .from_writer(BYTE_ORDER_MARK.as_bytes().to_vec());
    let month = report.month.to_string();
    let period = cell::text(&month);
    let state = cell::text(if report.is_final { words.is_final } else { words.is_preliminary });
    let amount = |minor: i128| cell::major_units(minor, currency).replace('.', words.point);
    let currency = cell::text(currency.code());
    rows.write_record(words.heads.map(cell::text))?;
    for line in &report.lines {
        rows.write_record([
            &period,
            &state,
            &line.service_id.to_string(),
            &cell::text(line.service_name.as_str()),
            &amount(line.captured),
            &amount(line.refunded),
            &amount(line.net()),
            &currency,
        ])?;
    }
    rows.write_record([
        &period,
        &state,
        "",
        &cell::text(words.total),
        &amount(report.captured()),
        &amount(report.refunded()),
        &amount(report.total()),
        &currency,
    ])?;
    let bytes = rows.into_inner().map_err(|error| Error::from(error.into_error()))?;
    Ok(Spreadsheet { file_name: format!("revenue-{month}-excel.csv"), bytes })
}

#[cfg(test)]
mod tests {
    use balance_domain::{RevenueLine, ServiceId, ServiceName, Timestamp};

    use super::*;

    fn report(is_final: bool) -> RevenueReport {
        let line = |id, name: &str, captured, refunded| RevenueLine {
            service_id: ServiceId::new(id).unwrap(),
            service_name: ServiceName::new(name).unwrap(),
            captured,
            refunded,
        };
        RevenueReport {
            month: "2026-11".parse().unwrap(),
            is_final,
            built_at: Timestamp::from_micros(0).unwrap(),
            lines: vec![line(7, "Доставка; срочная", 45_000, 1_205), line(8, "=SUM(A1)", 5, 10)],
        }
    }

    #[test]
    fn a_russian_spreadsheet_opens_it_as_it_is() {
        let file = write(&report(true), Currency::RUB, SpreadsheetLanguage::Russian).unwrap();
        assert_eq!(file.file_name, "revenue-2026-11-excel.csv");
        let expected = "\u{feff}'Период';'Состояние';'Номер услуги';'Услуга';'Списано';'Возвращено';'Итого';'Валюта'\r\n\
            '2026-11';'окончательно';7;'Доставка; срочная';450,00;12,05;437,95;'RUB'\r\n\
            '2026-11';'окончательно';8;'`=SUM(A1)';0,05;0,10;-0,05;'RUB'\r\n\
            '2026-11';'окончательно';;'Всего';450,05;12,15;437,90;'RUB'\r\n";
        // Quotes that need no escaping here.
        let expected = expected.replace('\'', "\"").replace('`', "'");
        assert_eq!(String::from_utf8(file.bytes).unwrap(), expected);
    }

    #[test]
    fn an_english_one_has_commas_between_and_points_inside() {
        let file = write(&report(false), Currency::RUB, SpreadsheetLanguage::English).unwrap();
        let text = String::from_utf8(file.bytes).unwrap();
        let second = text.lines().nth(1).unwrap();
        assert_eq!(second, r#""2026-11","preliminary",7,"Доставка; срочная",450.00,12.05,437.95,"RUB""#);
        assert!(text.starts_with("\u{feff}\"Period\",\"State\","), "{text}");
    }
}
