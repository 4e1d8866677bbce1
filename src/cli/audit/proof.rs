//! `toolgate audit verify`, `audit key` and `audit erase`: whether the records are what they were, who signs for them,
//! and what somebody has a right to have taken out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use super::place::Place;
use crate::app;
use crate::audit::checkpoint::Signer;
use crate::audit::erase::erase;
use crate::audit::verify::{Evidence, Report, verify};
use crate::audit::write_ahead::left_behind;
use crate::cli::output::{print, print_json};
use crate::config::{self, Config, Retention};
use crate::store::checkpoints::Checkpoint;

/// The most findings that are shown to people.
const SHOWN: usize = 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Proves that no record was changed, taken away or put in
    Verify(VerifyArgs),
    /// Prints the public key of who signs checkpoints
    Key(KeyArgs),
    /// Makes all recorded texts of a user unreadable for ever
    Erase(EraseArgs),
}

/// Runs the command.
pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Verify(args) => check(&args).await,
        Command::Key(args) => key(&args),
        Command::Erase(args) => forget(&args).await,
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// Checkpoints that were kept elsewhere: the gateway's file of checkpoints (that of the configuration by default), or
    /// its JSON log
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Who may sign checkpoints, as `toolgate audit key` prints it; once for each key that was ever used
    #[arg(long = "public-key", value_name = "KEY")]
    public_keys: Vec<String>,
    /// The shortest time for which anything was kept, where the configuration once said less than now
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    retention: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// The configuration that names the key, or the store beside which it is; `toolgate.yaml` by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    place: Place,
    /// Whose texts
    #[arg(long)]
    user: String,
    /// Also forget who it was: the name, and the names of keys and groups
    #[arg(long)]
    identity: bool,
    /// Yes, for ever: nobody can bring the texts back
    #[arg(long)]
    yes: bool,
}

/// Exits with 1 where anything is wrong.
async fn check(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let config = match &args.place.store {
        Some(_) => None,
        None => Some(config::load(&args.place.config)?),
    };
    let mut kept = Vec::new();
    for file in files(args, config.as_ref()) {
        kept.extend(checkpoints_in(&file)?);
    }
    let reader = args.place.open().await?;
    let evidence = Evidence {
        sealer: Some(reader.sealer()),
        public_keys: public_keys(args, config.as_ref())?,
        checkpoints: kept,
        retention: config.map(|config| shortest(config.audit.retention, args.retention)),
    };
    let began = Instant::now();
    let report = verify(reader.store(), &evidence).await?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&page(&report, evidence.public_keys.is_empty(), began.elapsed().as_secs_f64())?)?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the public key of who signs checkpoints.
fn key(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let config = config::load(&config::locate(args.config.as_deref())?)?;
    print(&format!("{}\n", app::signer(&config)?.public_key()))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a user's texts unreadable.
async fn forget(args: &EraseArgs) -> anyhow::Result<ExitCode> {
    if !args.yes {
        bail!("this makes all recorded texts of {} unreadable for ever: say --yes", args.user);
    }
    let reader = args.place.open().await?;
    if let Some(file) = left_behind(reader.store(), args.place.write_ahead()?.as_deref()).await? {
        bail!("records of a gateway that is gone wait in {}: start it once, then erase", file.display());
    }
    let by = config::user_name().unwrap_or_default();
    let Some(erased) = erase(reader.store(), &args.user, args.identity, &by, Timestamp::now()).await? else {
        bail!("there is nothing to erase of a user called {}: see `toolgate audit users`", args.user);
    };
    let identity = if erased.identity { ", and who it was is forgotten" } else { "" };
    print(&format!(
        "{} texts are gone{identity}; gateways that run forget the key within a minute\n",
        erased.texts
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The given files, else that of the configuration, if there is one by now.
fn files(args: &VerifyArgs, config: Option<&Config>) -> Vec<PathBuf> {
    if !args.checkpoints.is_empty() {
        return args.checkpoints.clone();
    }
    let own = config.and_then(|config| config.audit.checkpoint_file.clone());
    own.into_iter().filter(|file| file.exists()).collect()
}

/// What is kept now, unless it was once kept shorter.
fn shortest(kept: Retention, once: Option<Duration>) -> Retention {
    let shorter = |kept: Option<Duration>| match (kept, once) {
        (Some(kept), Some(once)) => Some(kept.min(once)),
        (kept, once) => kept.or(once),
    };
    Retention {
        metadata: shorter(kept.metadata),
        content: shorter(kept.content),
        identity: shorter(kept.identity),
    }
}

/// The given keys, else the key of this configuration or of the file beside the store.
fn public_keys(args: &VerifyArgs, config: Option<&Config>) -> anyhow::Result<Vec<String>> {
    if !args.public_keys.is_empty() {
        return Ok(args.public_keys.clone());
    }
    let signer = match (config, &args.place.store) {
        (Some(config), _) => Some(app::signer(config)?),
        (None, Some(store)) => {
            let file = app::beside(store, ".signing-key");
            if file.exists() { Some(Signer::from_file(&file)?) } else { None }
        }
        (None, None) => None,
    };
    Ok(signer.iter().map(Signer::public_key).collect())
}

/// One line of a file of checkpoints, or of a log that has other lines as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Checkpoint(Checkpoint),
    Logged { fields: Logged },
}

#[derive(Deserialize)]
struct Logged {
    id: String,
    body: String,
    signature: String,
}

fn checkpoints_in(file: &Path) -> anyhow::Result<Vec<Checkpoint>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found: Vec<Checkpoint> = text.lines().filter_map(checkpoint_in).collect();
    if found.is_empty() {
        bail!("{} holds no checkpoint", file.display());
    }
    Ok(found)
}

fn checkpoint_in(line: &str) -> Option<Checkpoint> {
    match serde_json::from_str(line).ok()? {
        Line::Checkpoint(checkpoint) => Some(checkpoint),
        Line::Logged { fields: Logged { id, body, signature } } => {
            #[derive(Deserialize)]
            struct Made {
                made_at: Timestamp,
            }

            let Made { made_at } = serde_json::from_str(&body).ok()?;
            Some(Checkpoint { id, made_at, body, signature })
        }
    }
}

fn page(report: &Report, is_own_word: bool, seconds: f64) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    let Report { chains, links, rows, identities, texts, checkpoints, .. } = report;
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let speed = *rows as f64 / seconds.max(0.001);
    writeln!(page, "{rows} rows in {links} links of {chains} chains, {seconds:.1} s ({speed:.0} rows/s)")?;
    writeln!(page, "{identities} identities, {texts} texts, {checkpoints} checkpoints")?;
    if report.unreadable > 0 {
        writeln!(
            page,
            "{} identities and texts cannot be opened: erased, or the key is not here",
            report.unreadable
        )?;
    }
    let retention = &report.retention;
    for (what, before) in
        [("records", retention.metadata), ("texts", retention.content), ("names", retention.identity)]
    {
        if let Some(before) = before {
            writeln!(page, "{what} from before {before:.0} were taken away by retention")?;
        }
    }
    if is_own_word && *checkpoints > 0 {
        writeln!(
            page,
            "checkpoints were taken at their own word: give --public-key to know who signed them"
        )?;
    }
    if *checkpoints == 0 {
        writeln!(page, "there is no checkpoint: nothing proves that the ends of the chains are there")?;
    }
    let Some(first) = report.findings.first() else {
        writeln!(page, "sound")?;
        return Ok(page);
    };
    writeln!(page, "BROKEN, first at {first}")?;
    for finding in report.findings.iter().take(SHOWN).skip(1) {
        writeln!(page, "  {finding}")?;
    }
    let more = report.findings.len().saturating_sub(SHOWN) as u64 + report.more;
    if more > 0 {
        writeln!(page, "  and {more} more")?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_found_in_their_file_and_in_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let body = r#"{\"made_at\":\"2026-01-01T00:00:00.000000Z\"}"#;
        let own = format!(
            r#"{{"id":"1","made_at":"2026-01-01T00:00:00.000000Z","body":"{body}","signature":"s"}}"#
        );
        let logged = format!(
            r#"{{"level":"INFO","fields":{{"message":"audit checkpoint","id":"2","body":"{body}","signature":"s"}}}}"#
        );
        fs::write(&file, format!("{own}\nsomething else\n{{\"fields\":{{}}}}\n{logged}\n")).unwrap();
        let found = checkpoints_in(&file).unwrap();
        assert_eq!(found.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(found[0].body, found[1].body);
        assert_eq!(found[0].made_at, found[1].made_at);
        fs::write(&file, "nothing\n").unwrap();
        assert!(checkpoints_in(&file).unwrap_err().to_string().contains("holds no checkpoint"));
    }

    #[test]
    fn a_page_names_what_is_wrong_first() {
        let finding = |id: &str| crate::audit::verify::Finding {
            table: "prompt_usage",
            id: id.into(),
            seq: Some(3),
            what: "the prompt was changed".into(),
            link: None,
        };
        let mut report = Report { findings: vec![finding("a"), finding("b")], ..Report::default() };
        let told = page(&report, false, 1.0).unwrap();
        assert!(told.contains("BROKEN, first at prompt_usage a seq 3: the prompt was changed\n"), "{told}");
        report.findings.clear();
        assert!(page(&report, false, 1.0).unwrap().ends_with("sound\n"));
    }
}
