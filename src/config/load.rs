//! Finds the files, reads them all, and gathers everything that is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::gateway_file::{self, WrittenConfig};
use super::interpolate::{Lookup, References};
use super::problem::Problem;
use super::scope::Scope;
use super::server::{self, WrittenServer};
use super::yaml::{At, Source};
use super::{Config, ConfigError, Credentials, PolicySource, Server};

const FILE: &str = "toolgate.yaml";
const SERVERS: &str = "mcp-servers";
const POLICIES: &str = "policies";

/// The file that was named, or `toolgate.yaml` in the working folder.
pub fn locate(explicit: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let path = explicit.unwrap_or(Path::new(FILE));
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(path.to_owned()),
        Ok(_) => Err(Problem::with_file(path, "this is not a file").into()),
        Err(error) => {
            let help = if explicit.is_none() {
                "name the file with `--config`, or try `toolgate demo`, which needs none"
            } else {
                "is the path right?"
            };
            Err(Problem::with_file(path, format!("cannot read the configuration: {error}")).help(help).into())
        }
    }
}

/// The folders whose files make up this configuration, also those that are not there.
pub fn folders(path: &Path) -> [PathBuf; 3] {
    let folder = absolute(&folder_of(path));
    [folder.join(SERVERS), folder.join(POLICIES), folder]
}

/// Reads `toolgate.yaml` and what lies beside it: `mcp-servers/*.yaml` and `policies/*.yaml`.
///
/// References are looked up in the process's environment. The error holds every problem that was found.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, &|name| std::env::var(name).ok())
}

/// [`load`] with an environment of the caller's choice.
pub fn load_with(path: &Path, variables: Lookup<'_>) -> Result<Config, ConfigError> {
    let mut problems = vec![];
    let folder = folder_of(path);
    let config = read(path, &mut problems).and_then(|source| {
        let written: WrittenConfig = parsed(&source, &mut problems)?;
        let references = References { variables, folder: &folder };
        let mut scope = Scope { source: &source, references, problems: &mut problems };
        gateway_file::build(&written, absolute(&folder), &mut scope)
    });
    let servers = load_servers(&folder.join(SERVERS), variables, &mut problems);
    let policies = read_policies(&folder.join(POLICIES), &mut problems);
    if let Some(config) = &config {
        check_public_url(path, config.public_url.as_ref(), &servers, &mut problems);
    }
    ConfigError::unless_none(problems)?;
    config
        .map(|config| Config { servers, policies, ..config })
        .ok_or_else(|| Problem::with_file(path, "the configuration could not be read").into())
}

/// Where browsers come back to the gateway, it must know its own URL, and codes must not travel in the clear.
fn check_public_url(path: &Path, public_url: Option<&Url>, servers: &[Server], problems: &mut Vec<Problem>) {
    let by_browser = |server: &&Server| matches!(server.credentials, Credentials::AuthorizationCode(_));
    let Some(server) = servers.iter().find(by_browser) else { return };
    let is_loopback = |url: &Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let what = match public_url {
        None => "needs the gateway's own URL",
        Some(url) if url.scheme() != "https" && !is_loopback(url) => "needs an https URL of the gateway",
        Some(_) => return,
    };
    let what = format!("the server `{}`, to which callers connect in a browser, {what}", server.name);
    let help = "write `public_url: https://…`, as browsers reach the gateway (`http` only on localhost)";
    problems.push(Problem::with_file(path, what).help(help));
}

/// Whether this could stand in a file of `mcp-servers/`, with these variables.
pub fn check_server(path: &Path, text: &str, variables: Lookup<'_>) -> Result<(), ConfigError> {
    let mut problems = vec![];
    let source = Source::new(path, text);
    if let Some(written) = parsed::<WrittenServer>(&source, &mut problems) {
        let folder = folder_of(path);
        let references = References { variables, folder: &folder };
        server::build(&written, &mut Scope { source: &source, references, problems: &mut problems });
    }
    ConfigError::unless_none(problems)
}

/// Reads another program's YAML or JSON.
pub fn parse_document(path: &Path, text: &str) -> Result<serde_json::Value, ConfigError> {
    Source::new(path, text).parse_large().map_err(|problem| (*problem).into())
}

/// The policy files beside this configuration; empty where there are none.
pub fn policy_sources(path: &Path) -> Result<Vec<PolicySource>, ConfigError> {
    let mut problems = vec![];
    let policies = read_policies(&folder_of(path).join(POLICIES), &mut problems);
    ConfigError::unless_none(problems)?;
    Ok(policies)
}

fn read_policies(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PolicySource> {
    yaml_files(folder, problems)
        .iter()
        .filter_map(|path| read(path, problems))
        .map(|source| PolicySource { path: source.path, text: source.text.to_string() })
        .collect()
}

fn load_servers(folder: &Path, variables: Lookup<'_>, problems: &mut Vec<Problem>) -> Vec<Server> {
    let mut servers = vec![];
    let mut names: BTreeMap<String, (Source, At<String>)> = BTreeMap::new();
    for path in yaml_files(folder, problems) {
        let Some(source) = read(&path, problems) else { continue };
        let Some(written) = parsed::<WrittenServer>(&source, problems) else { continue };
        let references = References { variables, folder };
        let server = server::build(&written, &mut Scope { source: &source, references, problems });
        let Some(server) = server else { continue };
        if let Some((first, name)) = names.get(&server.name) {
            let what = format!("a second server is called `{}`", server.name);
            let problem = Problem::new(&source, Some(written.name.place), what);
            problems.push(problem.note("the first one is at", first, name.place));
        } else {
            names.insert(server.name.clone(), (source, written.name));
            servers.push(server);
        }
    }
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    servers
}

/// The folder's YAML files by name; none where there is no such folder.
fn yaml_files(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                problems.push(Problem::with_file(folder, format!("cannot read this folder: {error}")));
            }
            return vec![];
        }
    };
    let is_yaml = |path: &PathBuf| {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    files
}

fn read(path: &Path, problems: &mut Vec<Problem>) -> Option<Source> {
    match fs::read_to_string(path) {
        Ok(text) => Some(Source::new(path, &text)),
        Err(error) => {
            problems.push(Problem::with_file(path, format!("cannot read this file: {error}")));
            None
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(source: &Source, problems: &mut Vec<Problem>) -> Option<T> {
    source.parse().map_err(|problem| problems.push(*problem)).ok()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn absolute(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}
