//! A running gateway, as the commands ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::ConfigArgs;
use crate::config::{self, Config};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which gateway is asked, and as whom.
#[derive(Debug, clap::Args)]
pub(super) struct RemoteArgs {
    /// The gateway's address; by default where the configuration says that it listens
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// The file with your key; by default it is taken from the variable `TOOLGATE_KEY`
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// A running gateway.
pub(super) struct Remote {
    /// Without a slash at its end.
    pub(super) url: String,
    pub(super) key: Option<SecretString>,
    pub(super) http: reqwest::Client,
}

impl Remote {
    pub(super) fn new(args: &RemoteArgs) -> anyhow::Result<Self> {
        let url = match &args.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                configured(&args.config).context("name the gateway with `--url`, or its configuration")?
            }
        };
        let key = match &args.key_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("cannot read the key in {}", path.display()))?;
                Some(SecretString::from(text.trim()))
            }
            None => config::caller_key(),
        };
        Ok(Self { url, key, http: client()? })
    }

    /// The gateway that runs with this configuration, as whoever `TOOLGATE_KEY` says.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let url = format!("http://{}", reachable(config.listen));
        Ok(Self { url, key: config::caller_key(), http: client()? })
    }

    /// Asks the API for administrators; the error says what the gateway said.
    pub(super) async fn ask(&self, method: Method, path: &[&str]) -> anyhow::Result<Value> {
        let mut url = reqwest::Url::parse(&self.url).with_context(|| format!("{} is not a URL", self.url))?;
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(["api", "v1"]).extend(path),
            Err(()) => bail!("{} is not the URL of a gateway", self.url),
        };
        let mut request = self.http.request(method, url).timeout(PATIENCE);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        let answer = request.send().await.with_context(|| format!("no gateway answers at {}", self.url))?;
        let status = answer.status();
        let body: Option<Value> = answer.json().await.ok();
        match body {
            Some(body) if status.is_success() => Ok(body),
            body => {
                let detail = body.as_ref().and_then(|body| body["detail"].as_str());
                let detail = detail.unwrap_or("this is no answer of a gateway's").to_owned();
                if status == StatusCode::UNAUTHORIZED && self.key.is_none() {
                    bail!("{detail}: give `--key-file`, or set TOOLGATE_KEY");
                }
                bail!("{detail} ({status})")
            }
        }
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    let redirects = reqwest::redirect::Policy::none();
    reqwest::Client::builder().redirect(redirects).connect_timeout(PATIENCE).build()
}

fn configured(args: &ConfigArgs) -> anyhow::Result<String> {
    let path = config::locate(args.config.as_deref())?;
    Ok(format!("http://{}", reachable(config::load(&path)?.listen)))
}

/// Who listens on all addresses listens on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_at_ones_own() {
        for (listen, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
