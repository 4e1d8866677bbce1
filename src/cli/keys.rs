//! `toolgate keys`: makes callers' keys.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use crate::identity::key;

/// Make keys for callers.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, print it once, and print the lines for toolgate.yaml
    New(NewArgs),
}

#[derive(Debug, Args)]
struct NewArgs {
    /// The key's own name, which the records and policies show
    #[arg(long, default_value = "my-key")]
    name: String,
    /// The user or service that it belongs to
    #[arg(long, default_value = "me@example.com")]
    user: String,
    /// A group of that user; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
}

/// Runs the command; the error says that no key could be made or printed.
pub fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let Command::New(new) = args.command;
    print_key(&new, &key::generate()?, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn print_key(new: &NewArgs, key: &SecretString, out: &mut impl Write) -> anyhow::Result<()> {
    // JSON strings are YAML strings, so no name can break the lines.
    let quoted = |text: &String| serde_json::to_string(text);
    let groups = new.groups.iter().map(quoted).collect::<Result<Vec<_>, _>>()?.join(", ");
    writeln!(out, "The key, which is shown only now; give it to its owner:\n")?;
    writeln!(out, "  {}\n", key.expose_secret())?;
    writeln!(out, "For toolgate.yaml, under `keys:`:\n")?;
    writeln!(out, "  - name: {}", quoted(&new.name)?)?;
    writeln!(out, "    user: {}", quoted(&new.user)?)?;
    writeln!(out, "    groups: [{groups}]")?;
    writeln!(out, "    sha256: {}", key::hash_in_hex(key))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, load_with};
    use crate::identity::Identity;

    #[test]
    fn the_printed_lines_make_the_printed_key_work() {
        let new = NewArgs {
            name: "laptop: \"1\"".into(),
            user: "a@example.com".into(),
            groups: vec!["x".into(), "y, z".into()],
        };
        let key = key::generate().unwrap();
        let mut out = vec![];
        print_key(&new, &key, &mut out).unwrap();
        let printed = String::from_utf8(out).unwrap();
        assert!(printed.contains(key.expose_secret()));

        let lines = &printed[printed.find("  - name").unwrap()..];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("toolgate.yaml");
        let providers = "providers: [{name: p, type: openai, base_url: 'http://localhost:1/v1'}]";
        std::fs::write(&file, format!("{providers}\nkeys:\n{lines}")).unwrap();
        let config = load_with(&file, &|_| None).unwrap();
        assert!(matches!(&config.auth, Auth::Keys(keys) if keys[0].groups == ["x", "y, z"]));

        let headers =
            [(http::header::AUTHORIZATION, format!("Bearer {}", key.expose_secret()).parse().unwrap())];
        let caller = Identity::new(&config.auth).authenticate(&headers.into_iter().collect()).unwrap();
        assert_eq!(caller.key, "laptop: \"1\"");
    }
}
