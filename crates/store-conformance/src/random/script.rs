//! What a random history consists of.

use balance_domain::{ServiceId, ServiceName, Submission, Timestamp};

/// One history.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) steps: Vec<Step>,
}

/// One step of it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Submissions at one time, to be cut into batches at will.
    Submit {
        now: Timestamp,
        submissions: Vec<Submission>,
    },
    /// Reads at a time, which may be later or earlier than all that was recorded.
    Look {
        now: Timestamp,
    },
    /// Changes of the catalogue.
    AddService {
        id: ServiceId,
        name: ServiceName,
    },
    RenameService {
        id: ServiceId,
        name: ServiceName,
    },
    RemoveService {
        id: ServiceId,
    },
}

impl Script {
    pub(super) fn commands(&self) -> u64 {
        let count = |step: &Step| match step {
            Step::Submit { submissions, .. } => {
                submissions.iter().map(|submission| submission.commands.len()).sum()
            }
            _ => 0,
        };
        self.steps.iter().map(count).sum::<usize>().try_into().unwrap_or(u64::MAX)
    }

    /// The time of the last step.
    pub(super) fn end(&self) -> Timestamp {
        let time = |step: &Step| match step {
            Step::Submit { now, .. } | Step::Look { now } => Some(*now),
            _ => None,
        };
        self.steps.iter().rev().find_map(time).unwrap_or(Timestamp::MIN)
    }
}
