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
///
/// One struct for all kinds: an enum with its tag inside would lose the places of its values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct WrittenCredentials {
    /// Which kind they are.
    r#type: At<WrittenKind>,
    /// bearer: the token, as a reference.
    token: Option<At<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum WrittenKind {
    /// A token that is the gateway's own.
    Bearer,
}

pub(super) fn build(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<Credentials> {
    match written.r#type.value {
        WrittenKind::Bearer => {
            let Some(token) = &written.token else {
                scope.refuse(written.r#type.place, "`bearer` credentials need a `token`");
                return None;
            };
            scope.secret(token).map(|token| Credentials::Bearer { token })
        }
    }
}
