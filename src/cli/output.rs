//! Standard output that a closed pipe does not turn into a panic, and files that are not written over.

use super::exit::Usage;
use attractor::formats::check_writable;
use std::io::{self, Write};
use std::path::Path;

/// Writes text to standard output.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| io::Error::new(error.kind(), format!("standard output: {error}")))
}

/// Writes a line to standard error; nothing can be done if that fails.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// JSON for people: indented, with a newline at the end.
pub fn pretty(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Checks before the work that figures can be named after a prefix: `--figure /` or `--figure plots/` name a
/// folder and no file in it.
pub fn check_prefix(prefix: &Path) -> anyhow::Result<()> {
    let named = prefix.file_name().is_some();
    let text = prefix.to_string_lossy();
    if named && !text.ends_with(std::path::is_separator) && !prefix.is_dir() {
        return Ok(());
    }
    let message = format!("--figure: expected the start of a file's name, found {text}");
    Err(Usage(message).into())
}

/// Checks before the work that a result can be written, and that it would write over nothing unless `force`
/// is set.
pub fn check_free(path: &Path, force: bool) -> anyhow::Result<()> {
    check_writable(path)?;
    if !force && path.exists() {
        let file = path.display();
        return Err(Usage(format!("{file}: exists; --force writes over it")).into());
    }
    Ok(())
}

/// Checks that a result would not be written over the file it is made from, however their paths are spelled.
pub fn check_apart(out: &Path, input: &Path) -> anyhow::Result<()> {
    let canonical = |path: &Path| path.canonicalize().ok();
    let same = canonical(out).is_some_and(|out| canonical(input) == Some(out));
    if same {
        let file = out.display();
        return Err(Usage(format!(
            "{file}: expected another file than the input, found the input"
        ))
        .into());
    }
    Ok(())
}
