//! Every input that cannot be: refused in one line that says what, what was expected and what was found.

#[path = "../common/mod.rs"]
mod common;
mod models;
mod observed;
mod requests;

use attractor::samplers::{SamplerKind, SamplerSettings};

/// Asserts that an outcome is an error of one line that holds `parts`.
fn refused<T, E: std::fmt::Display>(what: &str, outcome: Result<T, E>, parts: &[&str]) {
    let Err(error) = outcome else {
        panic!("{what}: accepted");
    };
    let message = error.to_string();
    assert!(
        !message.is_empty() && !message.contains('\n'),
        "{what}: {message}"
    );
    for part in parts {
        assert!(
            message.contains(part),
            "{what}: \"{part}\" is not in \"{message}\""
        );
    }
}

fn remdm() -> SamplerSettings {
    SamplerSettings {
        steps: 2,
        ..SamplerSettings::new(SamplerKind::RemdmBernoulli)
    }
}
