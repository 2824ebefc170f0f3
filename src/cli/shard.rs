//! `--shard I/N`: a part of a job.

use std::ops::Range;
use std::str::FromStr;

/// Part I of N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 1 to N".into()),
        }
    }
}

impl Shard {
    /// The contiguous part of `0..total`; all parts together are the whole, in order.
    pub fn range(self, total: usize) -> Range<usize> {
        // In 128 bits the products cannot overflow.
        let at = |index: usize| (total as u128 * index as u128 / self.count as u128) as usize;
        at(self.index - 1)..at(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_contiguous_and_complete() {
        for total in [0, 1, 5, 350] {
            for count in [1, 2, 3, 7] {
                let mut next = 0;
                for index in 1..=count {
                    let range = Shard { index, count }.range(total);
                    assert_eq!(range.start, next);
                    next = range.end;
                }
                assert_eq!(next, total);
            }
        }
    }

    #[test]
    fn shards_outside_are_refused() {
        for text in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
    }
}
