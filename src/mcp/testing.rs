//! What the tests of this room share.

use crate::domain::Repeat;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Server, Transport};

/// A server with short limits and all of its tools approved.
pub(super) fn http_server(name: &str, url: &str) -> Server {
    Server {
        name: name.into(),
        transport: Transport::Http { url: url.into(), headers: BTreeMap::new() },
        allow: Vec::new(),
        deny: Vec::new(),
        read_only: Vec::new(),
        labels: Vec::new(),
        repeat: Repeat::default(),
        call_timeout: Duration::from_secs(5),
        max_call_time: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
    }
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
