//! Drawings: geometry as attributes and colours by class, so that they follow the scheme and print; the same
//! figures stand in a table beside each.

use std::fmt::Write;

use balance_domain::Timestamp;

/// The size of a drawing, in its own units.
pub(crate) const WIDTH: i64 = 720;
pub(crate) const HEIGHT: i64 = 160;

/// One balance at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    pub(crate) total: i64,
    pub(crate) available: i64,
}

/// Two lines of steps: the total, and what of it is available.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) total: String,
    pub(crate) available: String,
    /// The height of the upper bound, in minor units.
    pub(crate) max: i64,
}

/// The lines of balances in the order of time; `None` of fewer than two.
pub(crate) fn steps(balances: &[Step]) -> Option<Steps> {
    let (first, last) = (balances.first()?, balances.last()?);
    if balances.len() < 2 {
        return None;
    }
    let max = balances.iter().map(|step| step.total).max().unwrap_or(0).max(1);
    let span = last.at.micros() - first.at.micros();
    let x = |at: usize| {
        // Operations of one instant stand side by side.
        if span > 0 {
            scaled(balances[at].at.micros() - first.at.micros(), span, WIDTH)
        } else {
            scaled(i64::try_from(at).unwrap_or(0), i64::try_from(balances.len() - 1).unwrap_or(1), WIDTH)
        }
    };
    let y = |minor: i64| HEIGHT - scaled(minor, max, HEIGHT);
    let line = |of: fn(&Step) -> i64| {
        let mut path = format!("M{} {}", x(0), y(of(&balances[0])));
        for (at, step) in balances.iter().enumerate().skip(1) {
            // Writing to a string cannot fail.
            let _ = write!(path, "H{}V{}", x(at), y(of(step)));
        }
        path
    };
    Some(Steps { total: line(|step| step.total), available: line(|step| step.available), max })
}

/// A bar of a month.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) width: i64,
    pub(crate) height: i64,
    pub(crate) is_negative: bool,
    pub(crate) label: String,
    pub(crate) middle: i64,
    pub(crate) says: String,
}

/// Bars side by side, up from zero or down from it, and the height of zero.
pub(crate) fn bars(values: &[(String, i128, String)]) -> (Vec<Bar>, i64) {
    let max = values.iter().map(|(_, value, _)| *value).max().unwrap_or(0).max(0);
    let min = values.iter().map(|(_, value, _)| *value).min().unwrap_or(0).min(0);
    let span = (max - min).max(1);
    let zero = wide(max, span, HEIGHT);
    let slot = WIDTH / i64::try_from(values.len().max(1)).unwrap_or(1);
    let width = (slot * 7 / 10).clamp(1, 56);
    let draw = |(at, (label, value, says)): (usize, &(String, i128, String))| {
        let left = slot * i64::try_from(at).unwrap_or(0);
        // Too little to see is shown all the same.
        let height = wide(value.abs(), span, HEIGHT).max(i64::from(*value != 0));
        Bar {
            x: left + (slot - width) / 2,
            y: if *value < 0 { zero } else { zero - height },
            width,
            height,
            is_negative: *value < 0,
            label: label.clone(),
            middle: left + slot / 2,
            says: says.clone(),
        }
    };
    (values.iter().enumerate().map(draw).collect(), zero)
}

fn scaled(value: i64, of: i64, to: i64) -> i64 {
    wide(value.into(), of.into(), to)
}

fn wide(value: i128, of: i128, to: i64) -> i64 {
    // At most `to`, since no value is more than what it is of.
    i64::try_from(value.saturating_mul(to.into()) / of.max(1)).unwrap_or(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(micros: i64, total: i64, available: i64) -> Step {
        Step { at: Timestamp::from_micros(micros).unwrap(), total, available }
    }

    #[test]
    fn steps_go_over_time_and_stay_inside() {
        assert!(steps(&[]).is_none() && steps(&[step(0, 5, 5)]).is_none());
        let drawn = steps(&[step(0, 0, 0), step(50, 100, 50), step(100, 50, 50)]).unwrap();
        assert_eq!(drawn.total, "M0 160H360V0H720V80");
        assert_eq!(drawn.available, "M0 160H360V80H720V80");
        let at_once = steps(&[step(7, 1, 1), step(7, 2, 2), step(7, 4, 4)]).unwrap();
        assert_eq!(at_once.total, "M0 120H360V80H720V0");
        let empty = steps(&[step(0, 0, 0), step(1, 0, 0)]).unwrap();
        assert_eq!(empty.total, "M0 160H720V160");
        let large = steps(&[step(0, i64::MAX / 2, 0), step(i64::MAX / 4000, i64::MAX / 2, 1)]).unwrap();
        assert_eq!(large.total, "M0 0H720V0");
    }

    #[test]
    fn bars_stand_on_zero() {
        let of = |values: &[i128]| {
            let values: Vec<_> = values.iter().map(|value| (String::new(), *value, String::new())).collect();
            let (bars, zero) = bars(&values);
            (bars.iter().map(|bar| (bar.y, bar.height)).collect::<Vec<_>>(), zero)
        };
        assert_eq!(of(&[100, 50]), (vec![(0, 160), (80, 80)], 160));
        assert_eq!(of(&[100, -100]), (vec![(0, 80), (80, 80)], 80));
        assert_eq!(of(&[0]), (vec![(0, 0)], 0));
        assert_eq!(of(&[1_000_000, 1]), (vec![(0, 160), (159, 1)], 160));
        assert_eq!(of(&[]), (vec![], 0));
    }
}
