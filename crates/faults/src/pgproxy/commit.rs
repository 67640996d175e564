//! Recognises the message that commits: a COMMIT, sent as a simple query or as a prepared statement, or the `Sync`
//! after a prepared statement that writes and is a transaction of its own. One watcher per connection.

use std::collections::HashMap;

use crate::pgproxy::frames::Frame;

/// What a prepared statement does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Does {
    #[default]
    Other,
    Write,
    Commit,
}

/// Follows the transactions, prepared statements and portals of one connection.
#[derive(Default)]
pub(super) struct CommitWatcher {
    /// Prepared statements by name.
    statements: HashMap<Vec<u8>, Does>,
    /// Which portals run what; the unnamed one too.
    portals: HashMap<Vec<u8>, Does>,
    /// A transaction was begun by a statement.
    in_transaction: bool,
    /// Something was written that the next `Sync` commits.
    has_written: bool,
}

impl CommitWatcher {
    /// Whether the server commits on this message.
    pub(super) fn meet(&mut self, frame: &Frame) -> bool {
        let body = frame.body();
        let (first, rest) = text(body);
        match frame.tag {
            b'Q' => self.run(first),
            b'P' => {
                let (sql, _) = text(rest);
                self.statements.insert(first.to_vec(), does(sql));
                false
            }
            b'B' => {
                let (statement, _) = text(rest);
                let does = self.statements.get(statement).copied().unwrap_or_default();
                self.portals.insert(first.to_vec(), does);
                false
            }
            b'E' => match self.portals.get(first).copied().unwrap_or_default() {
                Does::Commit => true,
                Does::Write => {
                    self.has_written = !self.in_transaction;
                    false
                }
                Does::Other => false,
            },
            b'S' => std::mem::take(&mut self.has_written),
            _ => false,
        }
    }

    /// A simple query.
    fn run(&mut self, sql: &[u8]) -> bool {
        let is_commit = begins_with(sql, &["commit", "end"]);
        if begins_with(sql, &["begin", "start"]) {
            self.in_transaction = true;
        }
        if is_commit || begins_with(sql, &["rollback", "abort"]) {
            self.in_transaction = false;
        }
        is_commit
    }
}

fn does(sql: &[u8]) -> Does {
    let text = String::from_utf8_lossy(sql).to_lowercase();
    if begins_with(sql, &["commit", "end"]) {
        Does::Commit
    } else if ["insert into ", "update ", "delete from ", "pg_logical_emit_message"]
        .iter()
        .any(|word| text.contains(word))
        && !text.contains("for update")
    {
        Does::Write
    } else {
        Does::Other
    }
}

/// A text that ends with a zero, and what follows it.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Whether one of the statements of the text begins with one of these words.
fn begins_with(sql: &[u8], words: &[&str]) -> bool {
    String::from_utf8_lossy(sql).split(';').any(|statement| {
        let first = statement.split_whitespace().next().unwrap_or_default();
        words.iter().any(|word| first.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgproxy::frames::tests::typed;

    fn meet(watcher: &mut CommitWatcher, tag: u8, body: &[u8]) -> bool {
        watcher.meet(&Frame { tag, bytes: typed(tag, body) })
    }

    #[test]
    fn simple_queries() {
        let mut watcher = CommitWatcher::default();
        for (sql, expected) in [
            ("COMMIT\0", true),
            (" commit;\0", true),
            ("update a set b = 1; Commit\0", true),
            ("begin\0", false),
            ("select 'commit'\0", false),
            ("commit_all\0", false),
        ] {
            assert_eq!(meet(&mut watcher, b'Q', sql.as_bytes()), expected, "{sql}");
        }
    }

    #[test]
    fn prepared_statements_commit_when_they_are_executed() {
        let mut watcher = CommitWatcher::default();
        assert!(!meet(&mut watcher, b'P', b"s1\0COMMIT\0\0\0"));
        assert!(!meet(&mut watcher, b'P', b"s2\0select 1\0\0\0"));
        assert!(!meet(&mut watcher, b'B', b"\0s1\0\0\0\0\0\0\0"));
        assert!(meet(&mut watcher, b'E', b"\0\0\0\0\0"));
        assert!(!meet(&mut watcher, b'B', b"\0s2\0\0\0\0\0\0\0"));
        assert!(!meet(&mut watcher, b'E', b"\0\0\0\0\0"), "the unnamed portal runs another statement now");
        assert!(!meet(&mut watcher, b'P', b"s1\0select 2\0\0\0"));
        assert!(!meet(&mut watcher, b'B', b"\0s1\0\0\0\0\0\0\0"));
        assert!(!meet(&mut watcher, b'E', b"\0\0\0\0\0"), "the name was prepared a second time");
    }

    #[test]
    fn a_statement_that_writes_commits_at_its_sync_unless_a_transaction_is_open() {
        let mut watcher = CommitWatcher::default();
        assert!(!meet(&mut watcher, b'P', b"w\0WITH written AS (UPDATE accounts SET x = 1) SELECT 1\0\0\0"));
        assert!(!meet(&mut watcher, b'P', b"r\0SELECT 1 FROM accounts FOR UPDATE\0\0\0"));
        let run = |watcher: &mut CommitWatcher, name: &[u8]| {
            assert!(!meet(watcher, b'B', &[b"\0", name, b"\0\0\0\0\0\0\0"].concat()));
            assert!(!meet(watcher, b'E', b"\0\0\0\0\0"));
            meet(watcher, b'S', b"")
        };
        assert!(run(&mut watcher, b"w"));
        assert!(!run(&mut watcher, b"r"));
        assert!(!meet(&mut watcher, b'Q', b"BEGIN ISOLATION LEVEL READ COMMITTED\0"));
        assert!(!run(&mut watcher, b"w"));
        assert!(meet(&mut watcher, b'Q', b"COMMIT\0"));
        assert!(run(&mut watcher, b"w"));
    }
}
