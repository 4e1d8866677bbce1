//! What the tests of this room share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::connection::Call;
use super::credentials::Access;
use crate::config::{Server, Transport};
use crate::domain::{Behalf, Caller, CallerHeaders, ToolSettings};
use crate::egress::Egress;
use crate::seal::Sealer;
use crate::store::Store;

/// A server with short limits and all of its tools approved.
pub(super) fn http_server(name: &str, url: &str) -> Server {
    let transport = Transport::Http { url: url.into(), headers: BTreeMap::new() };
    Server {
        call_timeout: Duration::from_secs(5),
        max_call_time: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        ..Server::new(name, transport)
    }
}

/// Everything public may be asked; what is kept is gone with it.
pub(super) async fn access() -> Access {
    access_with(Store::in_memory().await.unwrap())
}

/// The same over this store.
pub(super) fn access_with(store: Store) -> Access {
    let egress = Egress::new(&crate::config::Egress::default()).unwrap();
    let public_url = "https://gateway.test/base".parse().unwrap();
    Access::new(egress, store, Arc::new(Sealer::random()), Some(public_url))
}

/// On behalf of someone.
pub(super) fn behalf() -> Behalf {
    let caller = Caller {
        key: "test".into(),
        user: "test".into(),
        groups: Vec::new(),
        settings: ToolSettings::default(),
    };
    Behalf { caller: Arc::new(caller), conversation: None, headers: CallerHeaders::default(), trace: None }
}

/// A call of this tool.
pub(super) fn call(tool: &str, arguments: Map<String, Value>) -> Call {
    Call { tool: tool.to_owned(), arguments, meta: Map::new() }
}

/// The same for a shell script.
pub(super) fn shell_server(name: &str, script: &str) -> Server {
    let transport = Transport::Stdio {
        command: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::new(),
        cwd: None,
    };
    Server { transport, ..http_server(name, "") }
}
