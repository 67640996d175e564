//! Answers in a form that can be compared.

use balance_domain::{Accepted, Rejection, ports::Reply, ports::SubmitError};

use super::Tally;

/// What a submission was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ComparedReply {
    Accepted(Vec<Accepted>),
    Rejected { index: usize, rejection: Rejection },
    Failed(String),
}

impl From<Reply> for ComparedReply {
    fn from(reply: Reply) -> Self {
        match reply {
            Ok(accepted) => Self::Accepted(accepted),
            Err(SubmitError::Rejected { index, rejection }) => Self::Rejected { index, rejection },
            Err(error @ (SubmitError::Failed(_) | SubmitError::Postponed(_))) => {
                Self::Failed(error.to_string())
            }
        }
    }
}

impl Tally {
    pub(super) fn count(&mut self, reply: &ComparedReply) {
        match reply {
            ComparedReply::Accepted(accepted) => {
                for accepted in accepted {
                    if accepted.is_replay {
                        self.replayed += 1;
                    } else {
                        self.accepted += 1;
                    }
                }
            }
            ComparedReply::Rejected { rejection, .. } => {
                *self.rejected.entry(rejection.code()).or_default() += 1;
            }
            ComparedReply::Failed(_) => self.failed += 1,
        }
    }
}
