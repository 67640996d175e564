//! Histories as files: one JSON object per line, so that a run that crashes keeps its history.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
};

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};

/// Writes one line per item.
pub fn write_log<T: Serialize>(path: &Path, items: &[T]) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut file = BufWriter::new(file);
    for item in items {
        serde_json::to_writer(&mut file, item)?;
        file.write_all(b"\n")?;
    }
    file.flush().context("writing the history")
}

/// Reads what [`write_log`] wrote.
pub fn read_log<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let parse = |(number, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).with_context(|| format!("line {} of {}", number + 1, path.display()))
    };
    BufReader::new(file).lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Call, MoneyAction, MoneyCall, OrderRef, Outcome, Record};

    #[test]
    fn a_history_survives_the_file() {
        let order = OrderRef { user_id: 1, service_id: 2, order_id: 3 };
        let action = MoneyAction::Capture { order, amount: None, is_final: true };
        let call = Call::Money(MoneyCall { key: "k".into(), comment: "c".into(), action });
        let outcome = Outcome::Unknown { why: "reset".into() };
        let record = Record { process: 7, call, invoked_ns: 1, returned_ns: 2, outcome };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        write_log(&path, std::slice::from_ref(&record)).unwrap();
        assert_eq!(read_log::<Record>(&path).unwrap(), [record]);
    }
}
