//! When two definitions are the same: one digest over what a model goes by, and over who listed it.

use serde_json::Value;

use super::Definition;
use crate::config::{Server, Transport};
use crate::domain::Digest;
use crate::mcp::server::public_url;

/// Parts digests of this kind from all others, and from those of another version of the file.
const CONTEXT: &[u8] = b"toolgate tools.lock 1";

/// What makes a server the one whose tools were approved: its public URL; or its program, and a digest of its
/// arguments as they stand in the file, so that neither a secret nor where it comes from is part of it.
pub fn identity(server: &Server) -> String {
    match &server.transport {
        Transport::Http { .. } => format!("http {}", public_url(&server.transport)),
        Transport::Stdio { .. } => match server.written_command.as_slice() {
            [] => "stdio".into(),
            [command] => format!("stdio {command}"),
            [command, args @ ..] => {
                let parts: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
                format!("stdio {command} arguments {}", Digest::of_parts(&parts))
            }
        },
    }
}

/// The digest of a definition of the server with this identity. The order of keys does not count.
pub(in crate::mcp) fn digest(identity: &str, definition: &Definition) -> Digest {
    let mut canonical = String::new();
    write(definition.as_tool(), &mut canonical);
    Digest::of_parts(&[CONTEXT, identity.as_bytes(), canonical.as_bytes()])
}

/// Compact JSON with sorted keys; texts and numbers as they are.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::testing;

    fn of(tool: &Value) -> Digest {
        digest("http https://x.test/mcp", &Definition::of(tool))
    }

    #[test]
    fn the_order_of_keys_does_not_count_and_everything_else_that_a_model_sees_does() {
        let tool = json!({"name": "t", "description": "d", "inputSchema": {"type": "object", "required": ["a", "b"]}});
        let same = json!({"inputSchema": {"required": ["a", "b"], "type": "object"}, "description": "d", "name": "t", "icons": [1]});
        assert_eq!(of(&tool), of(&same));
        for (field, value) in [
            ("name", json!("T")),
            ("title", json!("t")),
            ("description", json!("d ")),
            ("inputSchema", json!({"type": "object", "required": ["b", "a"]})),
            ("outputSchema", json!({})),
            ("annotations", json!({"readOnlyHint": true})),
        ] {
            let mut other = tool.clone();
            other[field] = value;
            assert_ne!(of(&tool), of(&other), "{field}");
        }
        assert_ne!(of(&tool), digest("http https://y.test/mcp", &Definition::of(&tool)), "another server");
    }

    #[test]
    fn the_digest_stays_the_same_over_versions_of_this_program() {
        let tool = json!({"name": "t", "description": "ä\n\u{200b}", "inputSchema": {"a": [1, 1.0, null, true, {}]}});
        assert_eq!(of(&tool).to_string(), "2e5bebcb2a53adf4e3028e9064f147f180abe378680098bfdc637b346df76375");
    }

    #[test]
    fn an_identity_holds_no_secret_and_no_place_of_this_machine() {
        let secret = "https://user:hush@example.com/mcp?token=hush#x";
        assert_eq!(identity(&testing::http_server("s", secret)), "http https://example.com/mcp");
        let program = |command: &[&str]| {
            let written = command.iter().map(|word| (*word).to_owned()).collect();
            identity(&Server { written_command: written, ..testing::shell_server("s", "exit") })
        };
        assert_eq!(program(&["./run"]), "stdio ./run");
        let with_arguments = program(&["npx", "--token=${TOKEN}", "x"]);
        assert!(with_arguments.starts_with("stdio npx arguments ") && !with_arguments.contains("TOKEN"));
        assert_ne!(with_arguments, program(&["npx", "--token=${TOKEN}x"]), "the words are kept apart");
    }
}
