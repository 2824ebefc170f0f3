//! The logs of one example and what follows from their sums.

use super::Sum;
use super::error::{LyapunovError, shape};
use std::ops::Range;

/// Natural logarithms of the diagonals of R of one example, `[events, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Logs {
    values: Vec<f64>,
    columns: usize,
    event_time: f64,
}

/// Exponents as they converge.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Time since the start of the window.
    pub times: Vec<f64>,
    /// Exponents up to that time, `[times, columns]`.
    pub exponents: Vec<f64>,
}

impl Logs {
    /// Logs of `columns` tangents; `event_time` is the time between events, in the units that exponents
    /// shall be the inverse of (1 for exponents an event).
    ///
    /// # Errors
    /// [`LyapunovError`] if there is no event, a number is not finite, or the time is not positive.
    pub fn new(values: Vec<f64>, columns: usize, event_time: f64) -> Result<Self, LyapunovError> {
        if columns == 0 || values.is_empty() || !values.len().is_multiple_of(columns) {
            let expected = format!("rows of {columns} numbers, at least one of at least one");
            let found = format!("{} numbers", values.len());
            return Err(shape("logs of R", expected, found));
        }
        if !(event_time.is_finite() && event_time > 0.0) {
            return Err(shape("time of an event", "positive and finite", event_time));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(LyapunovError::NotFinite {
                what: "logs of R",
                event: at / columns,
                column: at % columns,
            });
        }
        Ok(Self {
            values,
            columns,
            event_time,
        })
    }

    /// QR events.
    pub fn events(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Tangents.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Time between events.
    pub fn event_time(&self) -> f64 {
        self.event_time
    }

    /// All logs, `[events, columns]`.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The logs of a window, `[events, columns]`.
    ///
    /// # Errors
    /// [`LyapunovError::Window`] if it is empty or reaches beyond the events.
    pub fn window(&self, window: Range<usize>) -> Result<&[f64], LyapunovError> {
        let Range { start, end } = window;
        let range = start.saturating_mul(self.columns)..end.saturating_mul(self.columns);
        let part = self.values.get(range).filter(|part| !part.is_empty());
        part.ok_or(LyapunovError::Window {
            start,
            end,
            events: self.events(),
        })
    }

    /// Sums of the logs over a window, one a column.
    ///
    /// # Errors
    /// As [`Logs::window`].
    pub fn sums(&self, window: Range<usize>) -> Result<Vec<f64>, LyapunovError> {
        let part = self.window(window)?;
        let column = |column: usize| part.iter().skip(column).step_by(self.columns).copied();
        let sums = (0..self.columns).map(|c| column(c).collect::<Sum>().get());
        Ok(sums.collect())
    }

    /// Exponents over a window: sums over time, in the order of the columns, not sorted.
    ///
    /// # Errors
    /// As [`Logs::window`].
    pub fn exponents(&self, window: Range<usize>) -> Result<Vec<f64>, LyapunovError> {
        let time = window.len() as f64 * self.event_time;
        let sums = self.sums(window)?;
        Ok(sums.into_iter().map(|sum| sum / time).collect())
    }

    /// Exponents of every event on its own, `[events, columns]`.
    pub fn local(&self) -> Vec<f64> {
        let values = self.values.iter();
        values.map(|value| value / self.event_time).collect()
    }

    /// Exponents from the start of a window to every `every`-th event of it, and to its last.
    ///
    /// # Errors
    /// As [`Logs::window`]; [`LyapunovError::Shape`] if `every` is 0.
    pub fn running(&self, window: Range<usize>, every: usize) -> Result<Running, LyapunovError> {
        if every == 0 {
            return Err(shape("events between points", "at least 1", every));
        }
        let part = self.window(window)?;
        let events = part.len() / self.columns;
        let mut sums = vec![Sum::default(); self.columns];
        let mut running = Running {
            times: Vec::new(),
            exponents: Vec::new(),
        };
        for (event, row) in (1..).zip(part.chunks(self.columns)) {
            for (sum, value) in sums.iter_mut().zip(row) {
                sum.add(*value);
            }
            if event % every == 0 || event == events {
                let time = event as f64 * self.event_time;
                running.times.push(time);
                running
                    .exponents
                    .extend(sums.iter().map(|sum| sum.get() / time));
            }
        }
        Ok(running)
    }

    /// Coarser logs: events joined in groups of these sizes, over and over, as if Q had been made
    /// orthonormal only after each group. The diagonal of a product of triangular matrices is the
    /// product of the diagonals, so that this is exact. `event_time` is that between the new events.
    ///
    /// # Errors
    /// [`LyapunovError::Shape`] for a group of no event, or groups that do not end with the events.
    pub fn joined(&self, groups: &[usize], event_time: f64) -> Result<Self, LyapunovError> {
        if groups.is_empty() || groups.contains(&0) {
            let found = format!("{groups:?}");
            return Err(shape("groups of events", "at least one event each", found));
        }
        let mut values = Vec::new();
        let mut rest = &self.values[..];
        for &group in groups.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let Some((part, tail)) = rest.split_at_checked(group.saturating_mul(self.columns))
            else {
                let expected = format!("events in groups of {groups:?}");
                return Err(shape("logs of R", expected, self.events()));
            };
            let column = |c: usize| part.iter().skip(c).step_by(self.columns).copied();
            values.extend((0..self.columns).map(|c| column(c).collect::<Sum>().get()));
            rest = tail;
        }
        Self::new(values, self.columns, event_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs() -> Logs {
        let values = (0..12).map(|i| [f64::from(i), -2.0 * f64::from(i)]);
        Logs::new(values.flatten().collect(), 2, 0.5).unwrap()
    }

    #[test]
    fn windows_and_running_means() {
        let logs = logs();
        assert_eq!((logs.events(), logs.columns()), (12, 2));
        assert_eq!(logs.sums(0..12).unwrap(), [66.0, -132.0]);
        assert_eq!(logs.exponents(8..12).unwrap(), [19.0, -38.0]);
        assert_eq!(logs.local()[2..4], [2.0, -4.0]);
        let running = logs.running(2..12, 4).unwrap();
        assert_eq!(running.times, [2.0, 4.0, 5.0]);
        assert_eq!(running.exponents[..2], [7.0, -14.0]);
        assert_eq!(running.exponents[4..], logs.exponents(2..12).unwrap()[..]);
        for window in [3..3, 0..13, 13..14, 0..usize::MAX] {
            let error = logs.exponents(window).unwrap_err();
            assert!(matches!(error, LyapunovError::Window { .. }), "{error}");
        }
        assert!(logs.running(0..12, 0).is_err());
    }

    #[test]
    fn joined_events_keep_their_sums() {
        let logs = logs();
        let joined = logs.joined(&[1, 2], 1.0).unwrap();
        assert_eq!(joined.events(), 8);
        assert_eq!(joined.values()[..6], [0.0, 0.0, 3.0, -6.0, 3.0, -6.0]);
        assert_eq!(joined.sums(0..8).unwrap(), logs.sums(0..12).unwrap());
        for groups in [&[][..], &[0], &[5], &[2, 0], &[usize::MAX]] {
            assert!(logs.joined(groups, 1.0).is_err(), "{groups:?}");
        }
    }

    #[test]
    fn sums_are_compensated() {
        let values = [1e16, 1.0, -1e16, 1.0].repeat(1000);
        let logs = Logs::new(values, 1, 1.0).unwrap();
        assert_eq!(logs.sums(0..4000).unwrap(), [2000.0]);
    }

    #[test]
    fn bad_logs_are_refused() {
        assert!(Logs::new(vec![], 1, 1.0).is_err());
        assert!(Logs::new(vec![1.0], 0, 1.0).is_err());
        assert!(Logs::new(vec![1.0; 3], 2, 1.0).is_err());
        for time in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Logs::new(vec![1.0], 1, time).is_err());
        }
        let values = vec![0.0, 0.0, 0.0, f64::NEG_INFINITY];
        let error = Logs::new(values, 2, 1.0).unwrap_err();
        let (event, column) = (1, 1);
        let what = "logs of R";
        assert_eq!(
            error,
            LyapunovError::NotFinite {
                what,
                event,
                column
            }
        );
    }
}
