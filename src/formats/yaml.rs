//! The part of YAML that run configurations are written in: nested maps of plain scalars.
//!
//! Lists are skipped: no configuration key of a model is one. Anchors, tags, block text and maps on one
//! line are refused by name, so that nothing is misread in silence.

use serde_json::{Map, Value};
use thiserror::Error;

/// Deepest nesting of maps.
const DEPTH: usize = 32;

/// Text that is not of this part of YAML.
#[derive(Debug, Error)]
#[error("{file}: line {line}: expected {expected}, found {found:?}")]
pub struct YamlError {
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What could be there.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
}

/// A line that holds something.
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

/// Reads nested maps of scalars as the JSON object that they mean; `file` is used in errors.
///
/// # Errors
/// [`YamlError`] naming the first line that is anything else.
pub fn parse(file: &str, text: &str) -> Result<Map<String, Value>, YamlError> {
    let lines: Vec<Line<'_>> = text
        .lines()
        .enumerate()
        .map(|(index, line)| {
            let content = without_comment(line).trim_end();
            let text = content.trim_start();
            Line {
                number: index + 1,
                indent: content.len() - text.len(),
                text,
            }
        })
        .filter(|line| !line.text.is_empty() && line.text != "---" && line.text != "...")
        .collect();
    let mut rest = lines.as_slice();
    let root = map(file, &mut rest, 0, DEPTH)?;
    match rest.first() {
        None => Ok(root),
        Some(line) => Err(wrong(file, line, "the indentation of a key above")),
    }
}

fn wrong(file: &str, line: &Line<'_>, expected: &'static str) -> YamlError {
    YamlError {
        file: file.to_string(),
        line: line.number,
        expected,
        found: line.text.chars().take(80).collect(),
    }
}

/// Entries at one indentation.
fn map(
    file: &str,
    rest: &mut &[Line<'_>],
    indent: usize,
    depth: usize,
) -> Result<Map<String, Value>, YamlError> {
    let mut entries = Map::new();
    while let Some((line, tail)) = rest.split_first() {
        if line.indent != indent {
            break;
        }
        *rest = tail;
        let is_item = |text: &str| text == "-" || text.starts_with("- ");
        if is_item(line.text) {
            skip_deeper(rest, indent);
            continue;
        }
        let (key, value) = entry(line.text).ok_or_else(|| wrong(file, line, "key: value"))?;
        let value = match (value, tail.first()) {
            ("", Some(next)) if next.indent > indent && !is_item(next.text) => {
                let Some(depth) = depth.checked_sub(1) else {
                    return Err(wrong(file, line, "at most 32 nested maps"));
                };
                Value::Object(map(file, rest, next.indent, depth)?)
            }
            ("", Some(next)) if next.indent > indent => {
                skip_deeper(rest, indent);
                Value::Null
            }
            (text, _) => scalar(text).ok_or_else(|| wrong(file, line, "a plain value"))?,
        };
        if entries.insert(key, value).is_some() {
            return Err(wrong(file, line, "a key that is not there yet"));
        }
    }
    Ok(entries)
}

/// Passes over what belongs to an item of a list.
fn skip_deeper(rest: &mut &[Line<'_>], indent: usize) {
    let inside = rest.iter().take_while(|line| line.indent > indent).count();
    *rest = rest.get(inside..).unwrap_or_default();
}

/// The line up to a comment; a sharp sign inside quotes or a word begins none.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if (c == '"' || c == '\'') && matches!(before, ' ' | ':') => quote = Some(c),
            None if c == '#' && before.is_whitespace() => {
                return line.get(..at).unwrap_or_default();
            }
            None => {}
        }
        before = c;
    }
    line
}

fn entry(text: &str) -> Option<(String, &str)> {
    let (key, value) = match text.strip_suffix(':') {
        Some(key) if !key.contains(": ") => (key, ""),
        _ => text.split_once(": ")?,
    };
    let key = unquoted(key.trim()).unwrap_or(key.trim());
    (!key.is_empty()).then(|| (key.to_string(), value.trim()))
}

fn unquoted(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// A scalar; none for what this part of YAML does not have.
fn scalar(text: &str) -> Option<Value> {
    if let Some(text) = unquoted(text) {
        return Some(Value::String(text.to_string()));
    }
    match text {
        "" | "null" | "Null" | "NULL" | "~" | "[]" | "{}" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::from(number));
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if let (true, Ok(number)) = (numeric, text.parse::<f64>()) {
        return Some(Value::from(number));
    }
    if text.starts_with('[') && text.ends_with(']') {
        return Some(Value::Null);
    }
    let special = ['{', '[', '&', '*', '!', '|', '>', '%', '@', '`', '"', '\''];
    (!text.starts_with(special)).then(|| Value::String(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use serde_json::json;

    #[test]
    fn nested_maps_of_scalars() {
        let text = "# a run\narch:\n  name: a.b@C\n  H_cycles: 2 # outer\n  loss:\n    name: \"x # y\"\n  \
                    eps: 1e-5\n  on: true\npaths:\n- data/a\n- b: 1\n  c: 2\nlist: [1, 2]\nseed: 0\nnone:\n";
        let value = serde_json::Value::Object(parse("a.yaml", text).unwrap());
        let arch = json!({
            "name": "a.b@C", "H_cycles": 2, "loss": {"name": "x # y"}, "eps": 1e-5, "on": true
        });
        assert_eq!(value["arch"], arch);
        assert_eq!(value["seed"], 0);
        assert!(value["none"].is_null() && value["list"].is_null() && value["paths"].is_null());
    }

    #[test]
    fn what_is_not_read_is_refused_by_line() {
        for (text, line) in [
            ("a: 1\n  b: 2\n", 2),
            ("a: |\n  text\n", 1),
            ("a: 1\na: 2\n", 2),
            ("no value\n", 1),
            ("a: &anchor 1\n", 1),
            ("x:\n    a: 1\n  b: 2\n", 3),
        ] {
            let error = parse("a.yaml", text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().starts_with("a.yaml: line"));
        }
        let deep: String = (0..40)
            .map(|depth| format!("{}k:\n", " ".repeat(depth)))
            .collect();
        assert!(parse("a.yaml", &deep).is_err());
    }
}
