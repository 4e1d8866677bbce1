//! `${VAR}`, `${VAR:-default}` and `${file:path}` inside a text that is already parsed, so that a value can
//! never become YAML.

use std::path::Path;

use super::environment::is_inherited;

/// Looks up an environment variable; tests bring their own.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The largest file that `${file:…}` reads, bytes: secrets and certificates are small.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where references are looked up.
#[derive(Clone, Copy)]
pub(crate) struct References<'a> {
    pub variables: Lookup<'a>,
    /// What `${file:…}` is relative to.
    pub folder: &'a Path,
}

/// Does the text hold a reference, so that its value is not in the file?
pub(crate) fn is_reference(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

impl References<'_> {
    /// Puts the values in. `$${` gives a literal `${`; any other `$` stays. The error never quotes a value.
    pub(crate) fn resolve(&self, text: &str) -> Result<String, String> {
        self.resolve_noting(text, &mut Vec::new())
    }

    /// The values of a text's references, but for those that everyone may know: defaults, which stand in the file, and
    /// variables such as `HOME`.
    pub(crate) fn values(&self, text: &str) -> Vec<String> {
        let mut values = Vec::new();
        // What cannot be resolved is complained about where the text is used.
        let _ = self.resolve_noting(text, &mut values);
        values
    }

    fn resolve_noting(&self, text: &str, values: &mut Vec<String>) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let before = &rest[..start];
            let inside = &rest[start + 2..];
            if let Some(literal) = before.strip_suffix('$') {
                out.push_str(literal);
                out.push_str("${");
                rest = inside;
                continue;
            }
            out.push_str(before);
            let end =
                inside.find('}').ok_or("`${` is never closed by `}`; a literal `${` is written `$${`")?;
            out.push_str(&self.value_of(&inside[..end], values)?);
            rest = &inside[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value_of(&self, reference: &str, values: &mut Vec<String>) -> Result<String, String> {
        if let Some(path) = reference.strip_prefix("file:") {
            let value = self.file(path)?;
            values.push(value.clone());
            return Ok(value);
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_variable_name(name) {
            return Err(format!(
                "`${{{reference}}}` is no reference: write `${{NAME}}`, `${{NAME:-default}}` or `${{file:path}}`"
            ));
        }
        // As in a shell, `:-` also takes the place of an empty value.
        match ((self.variables)(name), default) {
            (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
            (Some(value), _) => {
                if !is_inherited(name) {
                    values.push(value.clone());
                }
                Ok(value)
            }
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!(
                "the environment variable `{name}` is not set: set it, or give a default, `${{{name}:-…}}`"
            )),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let full = self.folder.join(path);
        let failed = |error: std::io::Error| format!("cannot read `{}`: {error}", full.display());
        let size = std::fs::metadata(&full).map_err(failed)?.len();
        if size > MAX_FILE_BYTES {
            return Err(format!("`{}` is larger than 1 MiB", full.display()));
        }
        let text = std::fs::read_to_string(&full).map_err(failed)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    }
}

fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, String> {
        let variables = |name: &str| match name {
            "USER" => Some("alice".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        References { variables: &variables, folder: Path::new("/nowhere") }.resolve(text)
    }

    #[test]
    fn values_take_the_place_of_references() {
        assert_eq!(resolve("hello ${USER}, ${OTHER:-nobody}").unwrap(), "hello alice, nobody");
        assert_eq!(resolve("${EMPTY:-default}${EMPTY}").unwrap(), "default");
        assert_eq!(resolve("${URL:-http://x:1/}").unwrap(), "http://x:1/");
    }

    #[test]
    fn values_are_told_but_for_what_everyone_may_know() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "hush\n").unwrap();
        let variables = |name: &str| (name != "MISSING").then(|| format!("value of {name}"));
        let references = References { variables: &variables, folder: folder.path() };
        let values = references.values("${HOME} $${A} ${B} ${file:key} ${MISSING:-default}");
        assert_eq!(values, ["value of B", "hush"]);
    }

    #[test]
    fn any_other_dollar_is_a_dollar() {
        assert_eq!(resolve("/^get_.*$/ $USER $$").unwrap(), "/^get_.*$/ $USER $$");
        assert_eq!(resolve("$${USER}").unwrap(), "${USER}");
        assert!(!is_reference("$${USER}"));
        assert!(is_reference("${USER}"));
    }

    #[test]
    fn a_file_loses_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "hush\n").unwrap();
        let references = References { variables: &|_| None, folder: folder.path() };
        assert_eq!(references.resolve("Bearer ${file:key}").unwrap(), "Bearer hush");
    }

    #[test]
    fn bad_references_say_what_is_wrong() {
        assert!(resolve("${MISSING}").unwrap_err().contains("variable `MISSING` is not set"));
        assert!(resolve("${").unwrap_err().contains("never closed"));
        assert!(resolve("${a b}").unwrap_err().contains("is no reference"));
        assert!(resolve("${file:absent}").unwrap_err().contains("/nowhere/absent"));
    }
}
