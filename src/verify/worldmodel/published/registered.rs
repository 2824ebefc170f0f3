//! What is known of the cells of the published study by the names of their files.

use super::Checks;
use crate::analysis::stage2::{Entry, REGISTRY};
use crate::verify::checks::CaseError;
use crate::verify::folder::Node;
use serde_json::Value;

/// A cell of the registry, or all seeds of one of its models.
enum Known {
    Single(&'static Entry),
    Pool(&'static Entry),
}

/// Whether a file is the one of that name, in whatever folder.
fn is_file(file: &str, name: &str) -> bool {
    let rest = file.strip_suffix(name);
    rest.is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
}

fn known(file: &str) -> Option<Known> {
    let mut entries = REGISTRY.iter();
    entries.find_map(|entry| {
        let pool = entry.pooled_name();
        if is_file(file, &entry.name()) {
            Some(Known::Single(entry))
        } else if pool.is_some_and(|pool| is_file(file, &pool)) {
            Some(Known::Pool(entry))
        } else {
            None
        }
    })
}

/// Environment, model, seed and training of a cell whose file the registry names, and that its episodes begin
/// in different states, as those do that are run anew. Other files are told, not judged.
pub(super) fn compare(cell: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let Some(file) = cell.find("file") else {
        return Ok(());
    };
    let file = file.as_text()?;
    let (entry, seed) = match known(file) {
        Some(Known::Single(entry)) => (entry, Value::from(entry.seed)),
        Some(Known::Pool(entry)) => (entry, Value::Null),
        None => {
            checks.remark(format!("{file}: not of the published study"));
            return Ok(());
        }
    };
    let varied = match seed {
        // A pool need not repeat it.
        Value::Null => [Some(Value::Null), Some(Value::Bool(true))],
        _ => [Some(Value::Bool(true)), None],
    };
    for (key, expected) in [
        ("env", [Some(Value::from(entry.task.name())), None]),
        ("model_size", [Some(Value::from(entry.model_size)), None]),
        ("seed", [Some(seed), None]),
        (
            "training_steps",
            [Some(Value::from(entry.training_steps())), None],
        ),
        ("varied_init", varied),
    ] {
        let Some(found) = cell.json().get(key) else {
            continue;
        };
        let mut possible = expected.iter().flatten();
        checks.hold(possible.clone().any(|value| value == found), || {
            let expected = possible.next().unwrap_or(&Value::Null);
            format!("{key}: expected {expected} of {file}, found {found}")
        });
    }
    Ok(())
}
