//! Whether two configurations say the same: what tells a reload which parts it may leave alone.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Credentials, Provider, Server, Telemetry, Transport};

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        // A dump shows all but the secrets.
        format!("{self:?}") == format!("{other:?}") && same_secrets(self.secrets(), other.secrets())
    }
}

impl PartialEq for Transport {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}") && same_secrets(self.secrets(), other.secrets())
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}") && same_secrets(self.secrets(), other.secrets())
    }
}

impl PartialEq for Telemetry {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}") && same_secrets(self.secrets(), other.secrets())
    }
}

impl Telemetry {
    fn secrets(&self) -> Vec<&SecretString> {
        self.otlp.iter().flat_map(|otlp| otlp.headers.values()).collect()
    }
}

impl Server {
    /// Whether they say the same but for what is recorded, which is no reason to connect anew.
    pub(crate) fn is_reached_like(&self, other: &Self) -> bool {
        Self { record: other.record.clone(), ..self.clone() } == *other
    }

    fn secrets(&self) -> Vec<&SecretString> {
        let mut secrets = self.transport.secrets();
        secrets.extend(self.credentials.secrets());
        secrets
    }
}

impl Transport {
    fn secrets(&self) -> Vec<&SecretString> {
        match self {
            Self::Stdio { env, .. } => env.values().collect(),
            Self::Http { headers, .. } => headers.values().collect(),
        }
    }
}

impl Credentials {
    pub(crate) fn secrets(&self) -> Vec<&SecretString> {
        match self {
            Self::None | Self::CallerHeader(_) => Vec::new(),
            Self::Bearer { token } => vec![token],
            Self::ClientCredentials(kind) => kind.client.secret.iter().collect(),
            Self::TokenExchange(kind) => kind.client.secret.iter().collect(),
            Self::AuthorizationCode(kind) => kind.client.iter().filter_map(|it| it.secret.as_ref()).collect(),
        }
    }
}

impl Provider {
    fn secrets(&self) -> Vec<&SecretString> {
        self.api_key.iter().chain(self.headers.values()).collect()
    }
}

/// Whether these are the same secrets, in the same order.
pub(crate) fn same_secrets<'a>(
    ours: impl IntoIterator<Item = &'a SecretString>,
    theirs: impl IntoIterator<Item = &'a SecretString>,
) -> bool {
    let exposed = |secret: &'a SecretString| secret.expose_secret();
    ours.into_iter().map(exposed).eq(theirs.into_iter().map(exposed))
}
