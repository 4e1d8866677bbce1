//! `toolgate import FILE`: the MCP servers of Claude's or LiteLLM's configuration, as files of Toolgate.
//!
//! `claude.rs` and `litellm.rs` read the two forms, `draft.rs` is a server on its way from one form to the other,
//! `secrets.rs` takes literal secrets out. No secret is written or printed: a reference stands in its place.

mod claude;
mod draft;
mod litellm;
mod secrets;

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use self::draft::Draft;
use self::secrets::Vault;
use super::print;
use crate::config;
use crate::domain::on_one_line;

/// Turns the MCP servers of another program's configuration into files of Toolgate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Claude's `.mcp.json` or `claude_desktop_config.json`, or LiteLLM's `config.yaml`
    file: PathBuf,
    /// The folder for the files; nothing in it is overwritten
    #[arg(long, value_name = "DIR", default_value = "mcp-servers")]
    out: PathBuf,
}

/// Runs the command; exits with 1 where a server could not be taken over.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&args.file);
    let text = text.with_context(|| format!("cannot read {}", args.file.display()))?;
    let document: Value = config::parse_document(&args.file, &text)?;
    let mut vault = Vault::default();
    let drafts = read(&document, &mut vault)
        .with_context(|| format!("{} has no MCP servers that could be imported", args.file.display()))?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut is_complete = true;
    let mut written = BTreeMap::new();
    for draft in &drafts {
        let outcome = write(draft, &args.out, &args.file, &vault, &mut written)?;
        is_complete &= outcome.is_ok();
        let line =
            outcome.unwrap_or_else(|why| format!("{}: not imported: {why}", on_one_line(&draft.original)));
        print(&format!("{line}\n"))?;
        for note in &draft.notes {
            print(&format!("  - {}\n", on_one_line(note)))?;
        }
    }
    let variables = vault.variables();
    if !variables.is_empty() {
        print(&format!("\nset these variables where the gateway runs: {}\n", variables.join(", ")))?;
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The servers, in the order of the file.
fn read(document: &Value, vault: &mut Vault) -> anyhow::Result<Vec<Draft>> {
    let servers = |field: &str| document.get(field).and_then(Value::as_object);
    if let Some(servers) = servers("mcp_servers") {
        return Ok(each(servers, |name, fields| litellm::read(name, fields, document, vault)));
    }
    // VS Code's file has the same servers under another name.
    match servers("mcpServers").or_else(|| servers("servers")) {
        Some(servers) => Ok(each(servers, |name, fields| claude::read(name, fields, vault))),
        None => bail!("there is neither `mcpServers` (Claude) nor `mcp_servers` (LiteLLM) in it"),
    }
}

fn each(
    servers: &Map<String, Value>,
    mut read: impl FnMut(&str, &Map<String, Value>) -> Draft,
) -> Vec<Draft> {
    let nothing = Map::new();
    servers.iter().map(|(name, fields)| read(name, fields.as_object().unwrap_or(&nothing))).collect()
}

/// Writes one file. The outer error ends everything, the inner one says why this server is left out.
fn write(
    draft: &Draft,
    folder: &Path,
    origin: &Path,
    vault: &Vault,
    written: &mut BTreeMap<String, String>,
) -> anyhow::Result<Result<String, String>> {
    if let Some(why) = &draft.refused {
        return Ok(Err(why.clone()));
    }
    if let Some(first) = written.get(&draft.name) {
        return Ok(Err(format!("its name becomes `{}`, as that of {} does", draft.name, on_one_line(first))));
    }
    let path = folder.join(format!("{}.yaml", draft.name));
    let text = draft.text(origin);
    // What it would mean is known only with all variables set, but its form must be right.
    if let Err(error) = config::check_server(&path, &text, &|name| Some(vault.value(name))) {
        return Ok(Err(format!("what it says has no counterpart:\n{error}")));
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match file {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Ok(Err(format!("{} is there already", path.display())));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
    written.insert(draft.name.clone(), draft.original.clone());
    Ok(Ok(format!("{} written", path.display())))
}

#[cfg(test)]
mod tests;
