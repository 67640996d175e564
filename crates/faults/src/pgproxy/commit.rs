//! Recognises the message that commits: a simple query, or the execution of a statement that was prepared
//! with this text. One watcher per connection.

use std::collections::{HashMap, HashSet};

use crate::pgproxy::frames::Frame;

/// Follows the prepared statements and portals of one connection.
#[derive(Default)]
pub(super) struct CommitWatcher {
    /// Names of prepared statements that commit.
    statements: HashSet<Vec<u8>>,
    /// Which portals run a statement that commits; the unnamed one too.
    portals: HashMap<Vec<u8>, bool>,
}

impl CommitWatcher {
    /// Whether the server commits on this message.
    pub(super) fn meet(&mut self, frame: &Frame) -> bool {
        let body = frame.body();
        let (first, rest) = text(body);
        match frame.tag {
            b'Q' => commits(first),
            b'P' => {
                let (sql, _) = text(rest);
                if commits(sql) {
                    self.statements.insert(first.to_vec());
                } else {
                    self.statements.remove(first);
                }
                false
            }
            b'B' => {
                let (statement, _) = text(rest);
                let is_commit = self.statements.contains(statement);
                self.portals.insert(first.to_vec(), is_commit);
                false
            }
            b'E' => self.portals.get(first).copied().unwrap_or_default(),
            _ => false,
        }
    }
}

/// A text that ends with a zero, and what follows it.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Whether one of the statements of the text is a COMMIT.
fn commits(sql: &[u8]) -> bool {
    String::from_utf8_lossy(sql).split(';').any(|statement| {
        let word = statement.split_whitespace().next().unwrap_or_default();
        word.eq_ignore_ascii_case("commit") || word.eq_ignore_ascii_case("end")
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
}
