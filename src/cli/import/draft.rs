//! A server on its way from another program's form to Toolgate's.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::secrets::{Vault, is_secret};
use crate::mcp::lock::{readable_yaml, visible};

/// What will be one file.
#[derive(Debug)]
pub(super) struct Draft {
    /// As Toolgate names it.
    pub(super) name: String,
    /// As the other program does.
    pub(super) original: String,
    /// What could not be carried over, or is otherwise now. No value of the file stands in it.
    pub(super) notes: Vec<String>,
    /// Why there will be no file.
    pub(super) refused: Option<String>,
    fields: Map<String, Value>,
}

impl Draft {
    pub(super) fn new(original: &str, wanted: &str) -> Self {
        let name = allowed(wanted);
        let mut draft = Self {
            original: original.to_owned(),
            notes: Vec::new(),
            refused: None,
            fields: Map::from_iter([("name".to_owned(), json!(name))]),
            name,
        };
        if draft.name != original {
            draft.note(format!("{original} is named {} here", draft.name));
        }
        draft
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A field that has no counterpart.
    pub(super) fn lose(&mut self, field: &str, why: &str) {
        self.note(format!("`{field}` is not carried over: {why}"));
    }

    pub(super) fn refuse(mut self, why: &str) -> Self {
        self.refused = Some(why.to_owned());
        self
    }

    pub(super) fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    /// Sets a field of `tools`, `timeouts` and their like.
    pub(super) fn set_in(&mut self, field: &str, inner: &str, value: impl Into<Value>) {
        self.fields.entry(field).or_insert_with(|| json!({}))[inner] = value.into();
    }

    /// A program, its arguments and its environment.
    pub(super) fn stdio(&mut self, fields: &Map<String, Value>, vault: &mut Vault) {
        self.set("transport", "stdio");
        let mut command = fields.get("command").and_then(Value::as_str).unwrap_or_default();
        let mut args: Vec<&str> = texts(fields.get("args"));
        if matches!(command, "cmd" | "cmd.exe") && args.len() > 1 && args[0].eq_ignore_ascii_case("/c") {
            command = args[1];
            args.drain(..2);
            self.note("`cmd /c` is left out: the program is started without a shell");
        }
        let command = vault.clean(&self.name, "command", command);
        self.set("command", command);
        if args.iter().any(|arg| arg.starts_with("mcp-remote")) {
            self.note(
                "`mcp-remote` is not needed: Toolgate reaches URLs itself, with `transport: http` and `url`",
            );
        }
        let args = self.arguments(&args, vault);
        if !args.is_empty() {
            self.set("args", args);
        }
        if let Some(env) = self.named_values(fields.get("env"), "env", vault) {
            self.set("env", env);
        }
        if let Some(cwd) = fields.get("cwd").and_then(Value::as_str) {
            let cwd = vault.clean(&self.name, "cwd", cwd);
            self.set("cwd", cwd);
        }
    }

    /// A URL, and headers.
    pub(super) fn http(&mut self, url: &str, headers: Option<&Value>, vault: &mut Vault) {
        self.set("transport", "http");
        if url.trim_end_matches('/').ends_with("/sse") {
            self.note(
                "the URL looks like that of the old SSE transport, which Toolgate does not speak: most servers have \
                 another for streamable HTTP, such as `/mcp`",
            );
        }
        let url = vault.clean_url(&self.name, "url", url);
        self.set("url", url);
        if let Some(headers) = self.named_values(headers, "headers", vault) {
            self.set("headers", headers);
        }
    }

    /// Begins `credentials`, unless a header of the file is sent where they would be.
    pub(super) fn credentials(&mut self, field: &str, kind: &str) -> bool {
        let headers = self.fields.get("headers").and_then(Value::as_object);
        if headers.into_iter().flatten().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            self.lose(field, "the header `Authorization` of the file is sent instead");
            return false;
        }
        self.set_in("credentials", "type", kind);
        true
    }

    /// A header besides those of the file.
    pub(super) fn header(&mut self, name: &str, value: String) {
        self.set_in("headers", name, value);
    }

    fn named_values(
        &mut self,
        values: Option<&Value>,
        field: &str,
        vault: &mut Vault,
    ) -> Option<Map<String, Value>> {
        let values = values?.as_object()?;
        let mut cleaned = Map::new();
        for (name, value) in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => {
                    self.lose(&format!("{field}.{name}"), "it is no text");
                    continue;
                }
            };
            let clean = vault.clean(&self.name, name, &text);
            if clean != text && !text.contains("${") && !text.starts_with("os.environ/") {
                self.note(format!("`{field}.{name}` is a secret: it is a reference now"));
            }
            cleaned.insert(name.clone(), clean.into());
        }
        (!cleaned.is_empty()).then_some(cleaned)
    }

    /// `--token=x`, `--token x`, `Name: x`, and whatever looks secret by itself.
    fn arguments(&mut self, args: &[&str], vault: &mut Vault) -> Vec<String> {
        let mut cleaned: Vec<String> = Vec::new();
        let mut option = None;
        for (index, arg) in args.iter().enumerate() {
            let clean =
                if let Some((name, value)) = arg.split_once('=').filter(|(name, _)| name.starts_with('-')) {
                    format!("{name}={}", vault.clean(&self.name, name, value))
                } else if arg.starts_with('-') {
                    (*arg).to_owned()
                } else if let Some((name, value)) =
                    arg.split_once(':').filter(|(name, value)| is_header(name, value))
                {
                    let (space, value) = value.split_at(value.len() - value.trim_start().len());
                    format!("{name}:{space}{}", vault.clean(&self.name, name, value))
                } else if arg.contains("://") && !is_secret(arg) {
                    vault.clean_url(&self.name, &format!("arg_{}", index + 1), arg)
                } else {
                    let name = option.unwrap_or("arg");
                    let name = if name == "arg" { format!("--arg-{}", index + 1) } else { name.to_owned() };
                    vault.clean(&self.name, &name, arg)
                };
            if clean != **arg && !arg.contains("${") {
                self.note(format!(
                    "`args`: the {}. argument holds a secret: it is a reference now",
                    index + 1
                ));
            }
            option = Some(*arg).filter(|arg| arg.starts_with('-') && !arg.contains('='));
            cleaned.push(clean);
        }
        cleaned
    }

    /// The file.
    pub(super) fn text(&self, origin: &Path) -> String {
        let name = origin.file_name().unwrap_or_default().to_string_lossy();
        let mut text = format!("# Imported from {}.\n", visible(&name));
        for note in &self.notes {
            text.push_str(&format!("# - {}\n", visible(note).replace('\n', " ")));
        }
        text + &readable_yaml(&self.fields)
    }
}

/// All texts of a list.
pub(super) fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `Name: value`, but no URL.
fn is_header(name: &str, value: &str) -> bool {
    name.len() > 2 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '-') && !value.starts_with("//")
}

/// Lower-case letters, digits and `-`, beginning with a letter, at most 32.
fn allowed(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let mut out = String::new();
    for c in name.chars().map(fits) {
        if c != '-' || !out.ends_with('-') {
            out.push(c);
        }
    }
    let out = out.trim_matches('-');
    let out =
        if out.starts_with(|c: char| c.is_ascii_lowercase()) { out.to_owned() } else { format!("s-{out}") };
    out.chars().take(32).collect::<String>().trim_matches('-').to_owned()
}
