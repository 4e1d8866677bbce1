//! `credentials` of an MCP server: how the gateway proves whose request it is.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::scope::Scope;
use super::yaml::At;

/// How the gateway proves to a server whose request it is.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all, besides the headers of the transport.
    #[default]
    None,
    /// With a token that is the gateway's own.
    Bearer {
        /// The token.
        token: SecretString,
    },
}

/// How the gateway proves to the server whose request it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(inline)]
pub(super) enum WrittenCredentials {
    /// With a token that is the gateway's own.
    Bearer {
        /// The token, as a reference.
        token: At<String>,
    },
}

pub(super) fn build(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<Credentials> {
    match written {
        WrittenCredentials::Bearer { token } => {
            scope.secret(token).map(|token| Credentials::Bearer { token })
        }
    }
}
