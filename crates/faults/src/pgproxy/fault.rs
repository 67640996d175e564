//! What to break, and where.

use std::time::Duration;

/// What happens to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both sides are closed in order, as by a stopped process.
    Cut,
    /// Both sides are reset, as by a lost machine.
    Reset,
    /// Nothing moves in either direction for this long; then everything continues.
    Stall(Duration),
    /// The client's side is closed; the message reaches the server only this much later. A COMMIT that lands
    /// after it was given up.
    Late(Duration),
}

/// When, seen from the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server does not get the message.
    Before,
    /// The server gets the message, the client does not get the answer.
    After,
}

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The n-th message of all connections since the rule was armed, from 1.
    Message(u64),
    /// The n-th message of this type byte (`b'Q'`, `b'E'`, `b'S'` …), from 1.
    OfType(u8, u64),
    /// The n-th COMMIT, from 1.
    Commit(u64),
}

/// One thing to break, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub trigger: Trigger,
    /// Before or after the server gets it. Without meaning for [`Fault::Late`].
    pub side: Side,
    /// What.
    pub fault: Fault,
}

/// A rule that waits for its message.
pub(super) struct Armed {
    rule: Rule,
    met: u64,
    is_spent: bool,
}

impl Armed {
    pub(super) const fn new(rule: Rule) -> Self {
        Self { rule, met: 0, is_spent: false }
    }

    pub(super) const fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Counts a message; returns what to do if it is the one.
    pub(super) fn meet(&mut self, tag: u8, is_commit: bool) -> Option<(Side, Fault)> {
        let (counts, wanted) = match self.rule.trigger {
            Trigger::Message(wanted) => (true, wanted),
            Trigger::OfType(of, wanted) => (of == tag, wanted),
            Trigger::Commit(wanted) => (is_commit, wanted),
        };
        if counts {
            self.met += 1;
        }
        self.is_spent = counts && self.met == wanted;
        self.is_spent.then_some((self.rule.side, self.rule.fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_meets_its_message_once() {
        let (side, fault) = (Side::After, Fault::Cut);
        let mut armed = Armed::new(Rule { trigger: Trigger::OfType(b'E', 2), side, fault });
        let met: Vec<bool> =
            [b'E', b'S', b'E'].into_iter().map(|tag| armed.meet(tag, false).is_some()).collect();
        assert_eq!(met, [false, false, true]);
        assert!(armed.is_spent());

        let mut armed = Armed::new(Rule { trigger: Trigger::Commit(1), side, fault });
        assert_eq!(armed.meet(b'Q', false), None);
        assert_eq!(armed.meet(b'Q', true), Some((side, fault)));
    }
}
