use std::env;
use std::ffi::OsString;

use secrecy::SecretString;

/// What a child process may know of the gateway's own environment: where programs, certificates and folders
/// are, and never a secret.
const INHERITED: [&str; 10] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "USER",
    "SHELL",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
];

/// The part of the gateway's environment that MCP servers started by it get; their own `env` comes on top.
#[must_use]
pub fn child_environment() -> Vec<(OsString, OsString)> {
    env::vars_os().filter(|(name, _)| is_inherited(&name.to_string_lossy())).collect()
}

/// The hosts of the proxies that HTTP clients use, by the variables that they honour.
#[must_use]
pub fn proxy_hosts() -> Vec<String> {
    let variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].into_iter().flat_map(|name| {
        [name.to_owned(), name.to_ascii_lowercase()].into_iter().filter_map(|name| env::var(name).ok())
    });
    variables.filter_map(|proxy| proxy_host(&proxy)).collect()
}

fn proxy_host(proxy: &str) -> Option<String> {
    let with_scheme = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    reqwest::Url::parse(&with_scheme).ok()?.host_str().map(str::to_owned)
}

/// Who runs this program, as far as the operating system's environment says.
#[must_use]
pub fn user_name() -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| env::var(name).ok())
        .filter(|name| !name.trim().is_empty())
}

/// The name of this machine, or of the container, as far as the system tells it.
pub(super) fn host_name() -> Option<String> {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The caller's key for commands that ask a running gateway.
#[must_use]
pub fn caller_key() -> Option<SecretString> {
    env::var("TOOLGATE_KEY").ok().filter(|key| !key.is_empty()).map(SecretString::from)
}

/// Whether everything that runs here knows this variable.
pub(super) fn is_inherited(name: &str) -> bool {
    INHERITED.contains(&name) || name.starts_with("XDG_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_host_is_found_in_its_url() {
        for proxy in ["http://user:pw@proxy.test:3128", "proxy.test:3128", "https://proxy.test/"] {
            assert_eq!(proxy_host(proxy).as_deref(), Some("proxy.test"), "{proxy}");
        }
        assert_eq!(proxy_host(""), None);
    }

    #[test]
    fn secrets_are_not_inherited() {
        assert!(is_inherited("PATH") && is_inherited("XDG_CACHE_HOME"));
        assert!(!is_inherited("OPENAI_API_KEY") && !is_inherited("PATHS") && !is_inherited("xdg_home"));
        assert!(child_environment().iter().any(|(name, _)| name == "PATH"));
    }
}
