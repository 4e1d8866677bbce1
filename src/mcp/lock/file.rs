//! The file itself: strict when it is read, stable when it is written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Approval, Definition, Entry, Lock, Rejection, Signature, yaml};
use crate::config::problem::Problem;
use crate::config::yaml::{At, Source};
use crate::domain::Digest;

const VERSION: u64 = 1;

const HEADER: &str = "\
# The approved tools of this gateway, word for word. Commit this file. `toolgate tools diff` shows what servers
# list otherwise by now, `toolgate tools approve` takes that over.
";

/// What is wrong with a lock file, rendered for a person with file, line, caret and advice.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LockError(String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLock {
    version: At<u64>,
    #[serde(default)]
    servers: BTreeMap<String, BTreeMap<String, WrittenEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    approved: Option<WrittenApproval>,
    rejected: Option<WrittenRejection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenApproval {
    digest: At<String>,
    identity: String,
    at: At<String>,
    by: Option<String>,
    definition: At<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRejection {
    digest: At<String>,
    at: At<String>,
    by: Option<String>,
}

pub(super) fn read(path: &Path) -> Result<Option<Lock>, LockError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(_) => Err(Problem::with_file(path, "this is a link that leads nowhere")
                .help("bring back the file that it leads to, or remove the link where no lock is wanted")
                .into()),
            Err(_) => Ok(None),
        },
        Err(error) => Err(Problem::with_file(path, format!("cannot read this file: {error}")).into()),
    }
}

pub(super) fn required(path: &Path) -> Result<Lock, LockError> {
    let missing = || {
        Problem::with_file(path, "there is no such file, and the configuration says `lock: required`")
            .help("`toolgate tools lock` begins it")
    };
    read(path)?.ok_or_else(|| missing().into())
}

fn parse(path: &Path, text: &str) -> Result<Lock, LockError> {
    let source = Source::new(path, text);
    let written: WrittenLock = source.parse_large().map_err(|problem| *problem)?;
    if written.version.value != VERSION {
        let what = format!("version {} of the file is not known, only {VERSION}", written.version.value);
        return Err(Problem::new(&source, Some(written.version.place), what)
            .help("was it written by a newer Toolgate?")
            .into());
    }
    let mut lock = Lock::default();
    for (server, tools) in written.servers {
        for (tool, entry) in tools {
            let approved = entry.approved.map(|written| approval(&tool, written, &source)).transpose()?;
            let rejected = entry.rejected.map(|written| rejection(&written, &source)).transpose()?;
            let entry = Entry { approved, rejected };
            lock.servers.entry(server.clone()).or_default().insert(tool, entry);
        }
    }
    Ok(lock)
}

fn approval(tool: &str, written: WrittenApproval, source: &Source) -> Result<Approval, LockError> {
    let by = signature(&written.at, written.by, source)?;
    let definition = Definition::of(&written.definition.value);
    let refuse = |what: &str| -> LockError {
        Problem::new(source, Some(written.digest.place), what)
            .help("the file is not meant to be edited: let `toolgate tools approve` write it")
            .into()
    };
    if definition.field("name").and_then(Value::as_str) != Some(tool) {
        return Err(refuse("the definition below is that of another tool"));
    }
    let approval = Approval::new(&written.identity, definition, by);
    if parse_digest(&written.digest, source)? != approval.digest {
        return Err(refuse("this is not the digest of the definition and the identity below"));
    }
    Ok(approval)
}

fn rejection(written: &WrittenRejection, source: &Source) -> Result<Rejection, LockError> {
    let by = signature(&written.at, written.by.clone(), source)?;
    Ok(Rejection { digest: parse_digest(&written.digest, source)?, by })
}

fn signature(at: &At<String>, user: Option<String>, source: &Source) -> Result<Signature, LockError> {
    let time: Result<Timestamp, _> = at.value.parse();
    let at = time.map_err(|_| -> LockError {
        Problem::new(source, Some(at.place), "expected a time, such as `2026-11-21T17:00:00Z`").into()
    })?;
    Ok(Signature { at, user })
}

fn parse_digest(written: &At<String>, source: &Source) -> Result<Digest, LockError> {
    written.value.strip_prefix("blake3:").and_then(Digest::from_hex).ok_or_else(|| {
        Problem::new(source, Some(written.place), "expected `blake3:` and 64 hexadecimal digits").into()
    })
}

pub(super) fn change(path: &Path, change: impl FnOnce(&mut Lock)) -> Result<(), LockError> {
    let fails = |error: io::Error| Problem::with_file(path, format!("cannot write this file: {error}"));
    let target = target(path).map_err(fails)?;
    let folder = File::open(folder(&target)).map_err(fails)?;
    // Where the file system knows no locks, the later one of two decisions at once counts.
    let _ = folder.lock();
    let mut lock = read(path)?.unwrap_or_default();
    change(&mut lock);
    write(&lock, &target).map_err(fails)?;
    Ok(())
}

pub(super) fn write(lock: &Lock, path: &Path) -> io::Result<()> {
    let text = render(lock);
    // Whatever servers list: a file that could not be read again never takes the place of a good one.
    match parse(path, &text) {
        Ok(read) if read == *lock => {}
        Ok(_) => return Err(io::Error::other("what would be read again is not what was decided")),
        Err(error) => return Err(io::Error::other(format!("it could not be read again:\n{error}"))),
    }
    let target = target(path)?;
    let folder = folder(&target);
    let mut file = tempfile::Builder::new().prefix(".tools.lock").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    readable(&file, &target)?;
    file.as_file().sync_all()?;
    file.persist(&target)?;
    synced(folder)
}

/// The file itself, where the path is a link to it.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        _ => fs::canonicalize(path),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new name in a folder outlives a power cut only once the folder is written too.
#[cfg(unix)]
fn synced(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn synced(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A temporary file is its owner's alone; the lock is read by whom the old one was, or by everyone.
#[cfg(unix)]
fn readable(file: &tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map_or(0o644, |old| old.permissions().mode());
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn readable(_: &tempfile::NamedTempFile, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Sorted by server and tool, so that the same decisions give the same bytes.
fn render(lock: &Lock) -> String {
    let servers: Map<String, Value> = lock
        .servers
        .iter()
        .map(|(server, tools)| {
            let tools = tools.iter().map(|(tool, entry)| (tool.clone(), entry_value(entry)));
            (server.clone(), Value::Object(tools.collect()))
        })
        .collect();
    let document = Map::from_iter([("version".into(), json!(VERSION)), ("servers".into(), servers.into())]);
    format!("{HEADER}{}", yaml::document(&document))
}

fn entry_value(entry: &Entry) -> Value {
    let mut fields = Map::new();
    if let Some(approved) = &entry.approved {
        let mut approval = signed(approved.digest, &approved.by);
        approval.insert("identity".into(), approved.identity.as_str().into());
        approval.insert("definition".into(), approved.definition.as_tool().clone());
        fields.insert("approved".into(), approval.into());
    }
    if let Some(rejected) = &entry.rejected {
        fields.insert("rejected".into(), signed(rejected.digest, &rejected.by).into());
    }
    fields.into()
}

fn signed(digest: Digest, by: &Signature) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("digest".into(), format!("blake3:{digest}").into());
    fields.insert("at".into(), by.at.to_string().into());
    if let Some(user) = &by.user {
        fields.insert("by".into(), user.as_str().into());
    }
    fields
}

impl From<Problem> for LockError {
    fn from(problem: Problem) -> Self {
        Self(problem.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        Signature { at: "2026-11-21T17:00:00Z".parse().unwrap(), user: Some("alice".into()) }
    }

    fn lock() -> Lock {
        let mut lock = Lock::default();
        for (server, name, text) in
            [("b", "z", "Last."), ("b", "a.b/c", "Two\nlines."), ("a", "t", "hid\u{200b}den")]
        {
            let tool = json!({
                "name": name, "description": text,
                "inputSchema": {"type": "object", "properties": {"n": {"maximum": 1e21, "type": "number"}}},
            });
            let definition = Definition::of(&tool);
            lock.approve(server, name, Approval::new("http https://x.test/mcp", definition, signature()));
        }
        lock.reject("b", "z", Rejection { digest: Digest::of(b"other"), by: signature() });
        lock.reject(
            "c",
            "never",
            Rejection { digest: Digest::of(b"one"), by: Signature { user: None, ..signature() } },
        );
        lock
    }

    #[test]
    fn it_is_readable_and_comes_back_whole() {
        let text = render(&lock());
        insta::assert_snapshot!(text);
        assert_eq!(parse(Path::new("tools.lock"), &text).unwrap(), lock());
        assert_eq!(render(&parse(Path::new("tools.lock"), &text).unwrap()), text, "stable");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let good = render(&lock());
        let error = |text: &str| parse(Path::new("tools.lock"), text).unwrap_err().to_string();
        for (from, to, words) in [
            ("version: 1", "version: 2", ["tools.lock:3:10", "newer"]),
            ("hid\\u200bden", "harmless", ["tools.lock:8:", "not the digest"]),
            ("2026-11-21T", "yesterday ", ["tools.lock:9:", "a time"]),
            ("blake3:", "sha256:", ["tools.lock:8:", "blake3"]),
            ("name: \"t\"", "name: \"u\"", ["tools.lock:8:", "another tool"]),
            ("approved:", "aproved:", ["tools.lock:7:", "approved"]),
            ("servers:", "servers: [", ["tools.lock:", "tools.lock:"]),
        ] {
            let error = error(&good.replacen(from, to, 1));
            assert!(words.iter().all(|word| error.contains(word)), "{from}: {error}");
        }
    }

    #[test]
    fn it_is_written_in_one_step_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = Lock::path(folder.path());
        assert_eq!(Lock::read(&path).unwrap(), None);
        lock().write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), Some(lock()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(), 0o644);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            lock().write(&path).unwrap();
            assert_eq!(mode(), 0o640);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_file_that_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = Lock::path(folder.path());
        lock().write(&path).unwrap();
        let mut odd = lock();
        let definition = Definition::of(&json!({"name": "t", "description": "\u{ffff}\u{fffe}"}));
        odd.approve("a", "t", Approval::new("stdio x", definition.clone(), signature()));
        odd.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap().as_ref(), Some(&odd), "no character of a server's is too odd");

        let broken =
            Approval { digest: Digest::of(b"other"), ..Approval::new("stdio x", definition, signature()) };
        let mut unreadable = lock();
        unreadable.approve("a", "t", broken);
        let error = unreadable.write(&path).unwrap_err().to_string();
        assert!(error.contains("could not be read again") && error.contains("not the digest"), "{error}");
        assert_eq!(Lock::read(&path).unwrap(), Some(odd), "the good one stays");
    }

    #[test]
    fn a_lock_that_is_missing_where_it_must_not_be_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = Lock::path(folder.path());
        let error = Lock::required(&path).unwrap_err().to_string();
        assert!(error.contains("tools.lock") && error.contains("`lock: required`"), "{error}");
        lock().write(&path).unwrap();
        assert_eq!(Lock::required(&path).unwrap(), lock());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_one_that_leads_nowhere_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, real) = (Lock::path(folder.path()), folder.path().join("real").join("shared.lock"));
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let error = Lock::read(&path).unwrap_err().to_string();
        assert!(error.contains("leads nowhere"), "{error}");
        assert!(Lock::change(&path, |_| {}).is_err() && lock().write(&path).is_err());
        fs::create_dir(folder.path().join("real")).unwrap();
        Lock::default().write(&real).unwrap();
        Lock::change(&path, |changed| *changed = lock()).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(Lock::read(&real).unwrap(), Some(lock()));
    }

    #[test]
    fn of_two_decisions_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = Lock::path(folder.path());
        let decide = |server: &str| {
            for tool in 0..8 {
                let rejection = Rejection { digest: Digest::of(b"x"), by: signature() };
                Lock::change(&path, |lock| lock.reject(server, &tool.to_string(), rejection)).unwrap();
            }
        };
        std::thread::scope(|threads| {
            threads.spawn(|| decide("a"));
            threads.spawn(|| decide("b"));
        });
        let lock = Lock::read(&path).unwrap().unwrap();
        assert_eq!(["a", "b"].map(|server| lock.server(server).count()), [8, 8]);
    }
}
