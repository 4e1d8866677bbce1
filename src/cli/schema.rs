//! `toolgate schema`: the JSON Schemas of the files, for editors.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::{config, policy, telemetry};

/// Print the JSON Schemas of toolgate.yaml, mcp-servers/*.yaml and policies/*.yaml.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Write one file a schema into this folder instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command; the error says which file could not be written.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments whole")]
pub fn run(args: SchemaArgs) -> anyhow::Result<ExitCode> {
    write(&args, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn write(args: &SchemaArgs, out: &mut impl Write) -> anyhow::Result<()> {
    for (name, text) in texts()? {
        match &args.out {
            None => write!(out, "{text}")?,
            Some(folder) => {
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                let path = folder.join(name);
                fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
                writeln!(out, "{}", path.display())?;
            }
        }
    }
    Ok(())
}

/// File names and texts of all schemas.
fn texts() -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut schemas = config::schemas();
    schemas.push(policy::schema());
    schemas.push(telemetry::schema());
    schemas
        .into_iter()
        .map(|(name, schema)| Ok((name, serde_json::to_string_pretty(&schema)? + "\n")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a change: `cargo run -- schema --out examples/schemas`.
    #[test]
    fn the_examples_have_the_current_schemas() {
        let folder = tempfile::tempdir().unwrap();
        write(&SchemaArgs { out: Some(folder.path().into()) }, &mut vec![]).unwrap();
        let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/schemas");
        for (name, text) in texts().unwrap() {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
            let kept = fs::read_to_string(examples.join(name)).unwrap_or_default();
            assert!(kept == text, "{name} is out of date: run `cargo run -- schema --out examples/schemas`");
        }
    }

    /// The examples are valid by the schemas too, not only by the loader.
    #[test]
    fn the_examples_fit_the_schemas() {
        let schemas: Vec<_> = texts().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
        for (file, schema) in [
            ("toolgate.yaml", "toolgate.schema.json"),
            ("mcp-servers/files.yaml", "mcp-server.schema.json"),
            ("mcp-servers/github.yaml", "mcp-server.schema.json"),
            ("mcp-servers/time.yaml", "mcp-server.schema.json"),
            ("policies/default.yaml", "policy.schema.json"),
        ] {
            let (_, schema) = schemas.iter().find(|(name, _)| *name == schema).unwrap();
            let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
            let text = fs::read_to_string(root.join(file)).unwrap();
            let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{file}");
            assert!(!validator.is_valid(&serde_json::from_str(r#"{"unknown":1}"#).unwrap()), "{file}");
        }
    }
}
