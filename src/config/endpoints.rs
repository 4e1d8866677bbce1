//! `public_url`, `allowed_hosts`, `allowed_origins`, `egress` and `lock`: who reaches the gateway by which name, and
//! what the gateway takes from servers.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::scope::Scope;
use super::yaml::At;

/// Which private addresses may be reached that only a server or its metadata names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// By their addresses.
    pub networks: Vec<IpNet>,
    /// By their names, in lower case.
    pub hosts: Vec<String>,
}

/// Whether `tools.lock` is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LockMode {
    /// As soon as the file exists.
    #[default]
    Auto,
    /// Always: without the file the gateway does not start.
    Required,
    /// Never.
    Off,
}

/// What the gateway may reach that only a server or its metadata names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Egress")]
pub(super) struct WrittenEgress {
    /// Private address ranges (`10.1.0.0/16`) and host names that may be reached all the same.
    allow: Vec<At<String>>,
}

pub(super) fn egress(written: &WrittenEgress, scope: &mut Scope<'_>) -> Egress {
    let mut egress = Egress::default();
    for entry in &written.allow {
        let Some(text) = scope.text(entry) else { continue };
        if let Some(network) =
            text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
        {
            egress.networks.push(network);
        } else if is_host(&text) {
            egress.hosts.push(text.to_ascii_lowercase());
        } else {
            scope.refuse(
                entry.place,
                "expected an address range such as `10.1.0.0/16`, an address or a host name",
            );
        }
    }
    egress
}

/// Hosts by which the gateway may be addressed, in lower case, without ports.
pub(super) fn hosts(written: &[At<String>], scope: &mut Scope<'_>) -> Vec<String> {
    let host = |text: &str| {
        let text = text.to_ascii_lowercase();
        if is_host(&text) || text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
            Ok(text)
        } else {
            Err("expected a host name or an address without a port, such as `gateway.example.com`".into())
        }
    };
    written.iter().filter_map(|written| scope.parsed(written, host)).collect()
}

/// Origins as browsers send them.
pub(super) fn origins(written: &[At<String>], scope: &mut Scope<'_>) -> Vec<String> {
    let origin = |text: &str| {
        let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url.map(|url| url.origin().ascii_serialization()) {
            Some(origin) if origin == text.trim_end_matches('/').to_ascii_lowercase() => Ok(origin),
            _ => {
                Err("expected an origin such as `https://tools.example.com`: scheme and host, no path".into())
            }
        }
    };
    written.iter().filter_map(|written| scope.parsed(written, origin)).collect()
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
