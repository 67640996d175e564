//! What accounting reads: revenue per service in one month.

use crate::{Month, ServiceId, ServiceName, Timestamp};

/// The revenue of one service in one month, in minor units. Sums are wider than any balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevenueLine {
    /// The service.
    pub service_id: ServiceId,
    /// Its name when the report was built.
    pub service_name: ServiceName,
    /// The sum of the month's captures.
    pub captured: i128,
    /// The sum of the month's refunds.
    pub refunded: i128,
}

impl RevenueLine {
    /// Captures minus refunds; negative when a month refunds more than it captures.
    pub const fn net(&self) -> i128 {
        self.captured - self.refunded
    }
}

/// A month's revenue as it was when it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevenueReport {
    /// The month.
    pub month: Month,
    /// The month is closed: nothing is dated into it any more, and this will never change.
    pub is_final: bool,
    /// When it was built.
    pub built_at: Timestamp,
    /// One line per service with a capture or refund in the month, by service name (as bytes), then id.
    pub lines: Vec<RevenueLine>,
}

impl RevenueReport {
    /// All captures, in minor units.
    pub fn captured(&self) -> i128 {
        self.lines.iter().map(|line| line.captured).sum()
    }

    /// All refunds, in minor units.
    pub fn refunded(&self) -> i128 {
        self.lines.iter().map(|line| line.refunded).sum()
    }

    /// The net revenue of all services, in minor units.
    pub fn total(&self) -> i128 {
        self.lines.iter().map(RevenueLine::net).sum()
    }
}
