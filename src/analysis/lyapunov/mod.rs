//! Numbers about Lyapunov exponents: from the logarithms of the diagonal of R, one row a QR event, to
//! exponents with error bars, dimensions, windows and covariant vectors.

mod bootstrap;
mod covariant;
mod error;
mod logs;
mod singular;
mod spectrum;
mod summary;

pub use bootstrap::{
    Bootstrap, BootstrapOptions, Estimate, autocorrelation_time, batch_means_error, block_length,
};
pub use covariant::{CovariantVectors, History, covariant_vectors};
pub use error::LyapunovError;
pub use logs::{Logs, Running};
pub use singular::singular_exponents;
pub use spectrum::{KaplanYorke, SumRule, entropy_bound, kaplan_yorke};
pub use summary::{Summary, SummaryOptions, summarize};

/// A sum whose rounding error does not grow with the number of terms (Neumaier, 1974).
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    fn get(self) -> f64 {
        self.sum + self.lost
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = Self::default();
        values.into_iter().for_each(|value| sum.add(value));
        sum
    }
}
