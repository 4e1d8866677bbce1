mod audit;
mod fleet;
mod record;
mod store;
mod telemetry;

use std::fs;
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::{Render, Repeat};

const PROVIDER: &str = "providers: [{name: p, type: openai, base_url: 'http://localhost:1/v1'}]\n";
const OPEN: &str = "auth: none\nproviders: [{name: p, type: openai, base_url: 'http://localhost:1/v1'}]\n";

/// The only variables that tests know.
fn variables(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("hush-hush".into()),
        "SPECIAL" => Some("h@/ush".into()),
        "DB" => Some("postgres://gate:hush@db.test/toolgate".into()),
        "EVIL" => Some("x\nproviders: []\n- {a: b} # c".into()),
        "PORT" => Some("9000".into()),
        "URL" => Some("not-a-url-but-hush".into()),
        "SIGN" => Some("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=".into()),
        "SEAL" => Some("hush-hush-hush-hush-hush-hush-hush".into()),
        _ => None,
    }
}

/// Loads files from a folder of their own; the error's text has that folder's path cut out.
fn load_files(files: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    load_with(&folder.path().join("toolgate.yaml"), &variables)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn config(text: &str) -> Config {
    load_files(&[("toolgate.yaml", text)]).unwrap()
}

/// What is said of a bad toolgate.yaml.
fn refused(text: &str) -> String {
    load_files(&[("toolgate.yaml", text)]).unwrap_err()
}

/// What is said of a bad mcp-servers/x.yaml.
fn refused_server(text: &str) -> String {
    load_files(&[("toolgate.yaml", OPEN), ("mcp-servers/x.yaml", text)]).unwrap_err()
}

#[test]
fn injection_is_a_word_or_a_word_with_limits() {
    use crate::domain::Inject;
    let read = |inject: &str| {
        let config = config(&format!("{OPEN}inject: {inject}\n"));
        (config.settings.inject, config.inject_limits.max_tools, config.inject_limits.max_bytes)
    };
    assert_eq!(read("never"), (Some(Inject::Never), 100, 200 << 10));
    assert_eq!(read("{}"), (None, 100, 200 << 10));
    let full = "{ mode: always, max_tools: 20, max_bytes: 64KiB }";
    assert_eq!(read(full), (Some(Inject::Always), 20, 64 << 10));
    for (inject, what) in [
        ("sometimes", "4:9: expected one of `auto`, `always`, `never`, found `sometimes`"),
        ("{ mode: often }", "4:17: expected one of"),
        ("{ max_tools: 0 }", "4:22: expected 1 or more"),
        ("{ max_bytes: 10 }", "4:22: expected 1KiB or more"),
        ("{ max_rooms: 10 }", "unknown field `max_rooms`"),
        ("[auto]", "expected `auto`, `always` or `never`, or the fields"),
    ] {
        let error = refused(&format!("{OPEN}\ninject: {inject}\n"));
        assert!(error.contains(what), "{inject}: {error}");
    }
}

#[test]
fn the_gateways_own_name_is_no_servers() {
    let error = refused_server("name: toolgate\ntransport: http\nurl: https://x.test/mcp\n");
    assert!(error.contains("1:7: `toolgate` stands before the names of the gateway's own tools"), "{error}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = config(OPEN);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.path(), Some(&*config.folder.join("toolgate.db")));
    assert_eq!(config.store.durability, Durability::Process);
    assert_eq!(config.tool_name, "{server}__{tool}");
    assert_eq!(config.limits.wall_clock_whole, Duration::from_mins(4));
    assert!(!config.hosted_tools.caller_mcp_servers);
    assert_eq!(config.settings, ToolSettings::default());
    assert_eq!(config.continuity.retention, Duration::from_hours(30 * 24));
    assert_eq!((config.continuity.memory, config.secret_keys.len()), (64 << 20, 0));
    assert!(config.servers.is_empty() && config.policies.is_empty());
}

#[test]
fn everything_can_be_said() {
    let config = config(
        r#"
listen: "[::1]:${PORT}"
store: { url: "sqlite:data/x.db", durability: power }
inject: always
render: auto
tool_lines: true
tool_name: "{tool}-{server}"
continuity: { retention: 7d, memory: 8MiB, repeat_window: 30s }
secret_keys: ["${SEAL}"]
hosted_tools: { caller_mcp_servers: true }
providers:
  - name: claude
    type: anthropic
    base_url: https://api.anthropic.com/v1/
    api_key: ${KEY}
    headers: { X-Team: blue, anthropic-version: "2023-06-01" }
    inject: never
    render: native
  - { name: gpt, type: openai, base_url: "http://localhost:1/v1/" }
keys:
  - name: laptop
    user: a@example.com
    groups: [x, y]
    sha256: 0000000000000000000000000000000000000000000000000000000000000001
    inject: auto
    tool_lines: false
limits: { max_body: 1MiB, max_result: 2048, max_rounds: 3, drain: 5s, keep_alive: "${WAIT:-2s}" }
"#,
    );
    assert_eq!(config.listen.to_string(), "[::1]:9000");
    assert_eq!(config.store.path(), Some(&*config.folder.join("data/x.db")));
    assert_eq!(config.store.durability, Durability::Power);
    let [claude, gpt] = &config.providers[..] else { panic!("two providers") };
    assert_eq!(
        (claude.base_url.as_str(), claude.kind),
        ("https://api.anthropic.com", ProviderKind::Anthropic)
    );
    assert_eq!(claude.api_key.as_ref().unwrap().expose_secret(), "hush-hush");
    assert_eq!(claude.headers["x-team"].expose_secret(), "blue");
    assert_eq!(gpt.base_url, "http://localhost:1/v1");
    assert_eq!((claude.settings.render, claude.settings.tool_lines), (Some(Render::Native), None));
    assert_eq!((config.settings.render, config.settings.tool_lines), (Some(Render::Auto), Some(true)));
    let Continuity { retention, memory, repeat_window } = config.continuity;
    assert_eq!((retention, memory), (Duration::from_hours(7 * 24), 8 << 20));
    assert_eq!(repeat_window, Duration::from_secs(30));
    assert_eq!(config.secret_keys[0].expose_secret().len(), 34);
    let Auth::Keys(keys) = &config.auth else { panic!("keys") };
    assert_eq!(keys[0].settings.tool_lines, Some(false));
    assert_eq!((keys[0].sha256[31], keys[0].groups.len()), (1, 2));
    assert_eq!((config.limits.max_body_bytes, config.limits.max_result_bytes), (1 << 20, 2048));
    assert_eq!((config.limits.max_rounds, config.limits.keep_alive), (3, Duration::from_secs(2)));
    assert!(!format!("{config:?}").contains("hush"), "Debug shows no secret");
}

#[test]
fn servers_come_sorted_by_name_with_paths_beside_their_file() {
    let config = load_files(&[
        ("toolgate.yaml", OPEN),
        ("mcp-servers/token", "from-a-file\n"),
        ("mcp-servers/README.md", "not YAML: ["),
        ("mcp-servers/.hidden.yaml", "not YAML: ["),
        ("mcp-servers/1.yaml", "{name: zoo, transport: http, url: 'https://z.test/mcp', headers: {Authorization: 'Bearer ${file:token}'}}"),
        ("mcp-servers/2.yml", "{name: ape, transport: stdio, command: ./run, args: [a], env: {A_KEY: '${KEY}'}, cwd: work, repeat: rerun, timeouts: {call: 5s}, tools: {deny: ['/.*_secret.*$/']}}"),
        ("policies/p.yaml", "rules: []"),
    ])
    .unwrap();
    let [ape, zoo] = &config.servers[..] else { panic!("two servers") };
    let Transport::Stdio { command, env, cwd, .. } = &ape.transport else { panic!("stdio") };
    assert_eq!(Path::new(command), config.folder.join("mcp-servers/run"));
    assert_eq!(cwd.as_deref(), Some(config.folder.join("mcp-servers/work").as_path()));
    assert_eq!(env["A_KEY"].expose_secret(), "hush-hush");
    assert_eq!((ape.call_timeout, ape.max_call_time), (Duration::from_secs(5), Duration::from_mins(5)));
    assert!(ape.deny[0].matches("get_secret_x"));
    assert_eq!((ape.repeat, zoo.repeat), (Repeat::Rerun, Repeat::Join));
    let confidential = [ape, zoo]
        .map(|server| server.confidential.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>());
    assert_eq!(confidential, [["hush-hush"], ["from-a-file"]]);
    let Transport::Http { headers, .. } = &zoo.transport else { panic!("http") };
    assert_eq!(headers["authorization"].expose_secret(), "Bearer from-a-file");
    assert_eq!(config.policies.len(), 1);
}

#[test]
fn a_value_cannot_become_yaml() {
    let server = "{name: x, transport: stdio, command: x, args: ['${EVIL}']}";
    let config = load_files(&[("toolgate.yaml", OPEN), ("mcp-servers/x.yaml", server)]).unwrap();
    let Transport::Stdio { args, .. } = &config.servers[0].transport else { panic!("stdio") };
    assert_eq!(args, &["x\nproviders: []\n- {a: b} # c"]);
    assert_eq!(config.providers.len(), 1);
}

#[test]
fn the_shape_of_a_file_is_explained() {
    assert_snapshot!(refused("auth: none\nproviders:\n  - name: p\n    type: openai\n    api_keey: ${KEY}\n"), @r#"
    toolgate.yaml:5:5: unknown field `api_keey`
      5 |     api_keey: ${KEY}
        |     ^^^^^^^^
      help: did you mean `api_key`?
    "#);
    assert_snapshot!(refused("auth: none\nzebra: 1\n"), @r#"
    toolgate.yaml:2:1: unknown field `zebra`
      2 | zebra: 1
        | ^^^^^
      help: the known fields are `listen`, `store`, `audit`, `auth`, `inject`, `render`, `tool_lines`, `tool_name`, `providers`, `keys`, `hosted_tools`, `continuity`, `secret_keys`, `limits`, `public_url`, `allowed_hosts`, `allowed_origins`, `egress`, `lock`, `telemetry`
    "#);
    assert_snapshot!(refused("auth: nome\n"), @r#"
    toolgate.yaml:1:7: expected `none`, found `nome`
      1 | auth: nome
        |       ^^^^
      help: did you mean `none`?
    "#);
    assert_snapshot!(refused("auth: none\nproviders:\n  - name: p\n    type: openai\n"), @r#"
    toolgate.yaml:4:5: the field `base_url` is missing
      4 |     type: openai
        |     ^
    "#);
    assert_snapshot!(refused("auth: none\nauth: none\n"), @r#"
    toolgate.yaml:2:1: `auth` stands here for the second time
      2 | auth: none
        | ^^^^
    "#);
    assert_snapshot!(refused("auth: none\nproviders: [\n"), @r#"
    toolgate.yaml:2:12: unclosed bracket '['
      2 | providers: [
        |            ^
    "#);
    assert_snapshot!(refused("auth: none\nlimits: { max_rounds: many }\n"), @r#"
    toolgate.yaml:2:23: expected a whole number
      2 | limits: { max_rounds: many }
        |                       ^^^^
    "#);
    assert_snapshot!(refused("auth: none\nproviders: hush-hush\n"), @r#"
    toolgate.yaml:2:12: expected a list
      2 | providers: hush-hush
        |            ^^^^^^^^^
    "#);
    assert_snapshot!(refused("auth: none\nproviders:\n  - name: p\n    type: openai\n    base_url:\n"), @r#"
    toolgate.yaml:5:13: expected text, found nothing
      5 |     base_url:
        |             ^
      help: an empty text is written `""`
    "#);
}

#[test]
fn every_problem_is_told_at_once() {
    assert_snapshot!(load_files(&[
        ("toolgate.yaml", "listen: everywhere\nauth: none\nproviders:\n  - {name: v1, type: openai, base_url: 'ftp://x'}\n"),
        ("mcp-servers/a.yaml", "name: a\ntransprt: stdio\n"),
        ("mcp-servers/b.yaml", "name: B\ntransport: stdio\n"),
    ]).unwrap_err(), @r#"
    toolgate.yaml:1:9: expected an address and a port, such as `127.0.0.1:8080` or `[::1]:8080`
      1 | listen: everywhere
        |         ^^^^^^^^^^

    toolgate.yaml:4:12: `v1` is a route of the gateway itself
      4 |   - {name: v1, type: openai, base_url: 'ftp://x'}
        |            ^^

    toolgate.yaml:4:40: expected a URL that starts with `https://` or `http://`
      4 |   - {name: v1, type: openai, base_url: 'ftp://x'}
        |                                        ^^^^^^^^^

    mcp-servers/a.yaml:2:1: unknown field `transprt`
      2 | transprt: stdio
        | ^^^^^^^^
      help: did you mean `transport`?

    mcp-servers/b.yaml:1:7: a server's name has lower-case letters, digits and hyphens, starts with a letter and is at most 32 long
      1 | name: B
        |       ^

    mcp-servers/b.yaml:1:7: a `stdio` server needs a `command`
      1 | name: B
        |       ^
    "#);
}

#[test]
fn who_may_call_must_be_said_once() {
    assert_snapshot!(refused(PROVIDER), @r#"
    toolgate.yaml: nobody may call: there are no `keys`
      help: make a key with `toolgate keys new`, or write `auth: none` to let in everyone on this machine
    "#);
    assert_snapshot!(refused(&format!("{PROVIDER}keys: []\n")), @r#"
    toolgate.yaml:2:7: nobody may call: there are no `keys`
      2 | keys: []
        |       ^
      help: make a key with `toolgate keys new`, or write `auth: none` to let in everyone on this machine
    "#);
    assert_snapshot!(refused(&format!("{OPEN}keys:\n  - {{name: a, user: a, sha256: aa}}\n")), @r#"
    toolgate.yaml:1:7: `auth: none` beside `keys`: only one can hold
      1 | auth: none
        |       ^^^^
      note: the keys are at toolgate.yaml:4:3
    "#);
    assert_snapshot!(refused(&format!("listen: 0.0.0.0:80\n{OPEN}")), @r#"
    toolgate.yaml:1:9: without keys the gateway listens on a loopback address only: others could reach this one
      1 | listen: 0.0.0.0:80
        |         ^^^^^^^^^^
      help: listen on `127.0.0.1:8080`, or leave out `auth: none` and give `keys` (see `toolgate keys new`)
    "#);
}

#[test]
fn bad_keys_are_refused() {
    let test = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let one = "0000000000000000000000000000000000000000000000000000000000000001";
    assert_snapshot!(refused(&format!(
        "{PROVIDER}keys:
  - {{ name: a, user: a, sha256: {test} }}
  - {{ name: b, user: b, sha256: {one} }}
  - {{ name: b, user: c, sha256: {one} }}
  - {{ name: d, user: d, sha256: abc }}
")), @r#"
    toolgate.yaml:3:33: this is the hash of a key that everyone would try first
      3 |   - { name: a, user: a, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }
        |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: make a random one with `toolgate keys new`

    toolgate.yaml:5:13: a second key is called `b`
      5 |   - { name: b, user: c, sha256: 0000000000000000000000000000000000000000000000000000000000000001 }
        |             ^
      note: the first one is at toolgate.yaml:4:13

    toolgate.yaml:5:33: two keys have the same hash: whose requests would these be?
      5 |   - { name: b, user: c, sha256: 0000000000000000000000000000000000000000000000000000000000000001 }
        |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      note: the first one is at toolgate.yaml:4:33

    toolgate.yaml:6:33: expected the SHA-256 of a key: 64 hexadecimal digits
      6 |   - { name: d, user: d, sha256: abc }
        |                                 ^^^
    "#);
}

#[test]
fn a_literal_secret_is_refused_and_not_shown() {
    let said = refused(
        r#"auth: none
providers:
  - name: p
    type: openai
    base_url: https://user:hush@x.test/v1
    api_key: hush-hush
    headers: { Authorization: "Bearer hush", X-Custom: sk-proj-abcdefghijklmnop }
"#,
    );
    assert!(!said.contains("hush") && !said.contains("sk-proj"), "{said}");
    assert_snapshot!(said, @r#"
    toolgate.yaml:5:15: this URL holds a password or a key
      5 |     base_url: ***************************
        |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`

    toolgate.yaml:6:14: a secret must not stand in the file
      6 |     api_key: *********
        |              ^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`

    toolgate.yaml:7:16: `authorization` is set by `api_key` already
      7 |     headers: { Authorization: ******* *****, X-Custom: ************************ }
        |                ^^^^^^^^^^^^^

    toolgate.yaml:7:56: this looks like a key
      7 |     headers: { Authorization: ******* *****, X-Custom: ************************ }
        |                                                        ^^^^^^^^^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`
    "#);
    let said = refused_server(
        r#"name: x
transport: stdio
command: x
args: ["--api-key=hush", "ghp_abcdefghijklmnopqrst"]
env: { DB_PASSWORD: hush, USE_TOKEN: "false" }
"#,
    );
    assert!(!said.contains("hush") && !said.contains("ghp_"), "{said}");
    assert_snapshot!(said, @r#"
    mcp-servers/x.yaml:4:8: a secret must not stand in the file
      4 | args: [****************, "************************"]
        |        ^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`

    mcp-servers/x.yaml:4:26: this looks like a key
      4 | args: ["--api-key=****", **************************]
        |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`

    mcp-servers/x.yaml:5:21: a secret must not stand in the file
      5 | env: { DB_PASSWORD: ****, USE_TOKEN: ******* }
        |                     ^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`
    "#);
    let said = refused_server("name: x\ntransport: http\nurl: https://x.test/mcp?api_key=hush\n");
    assert!(!said.contains("hush"), "{said}");
    assert_snapshot!(said, @r#"
    mcp-servers/x.yaml:3:6: this URL holds a password or a key
      3 | url: *******************************
        |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`
    "#);
}

#[test]
fn a_resolved_value_is_not_shown() {
    let said = refused(
        "auth: none\nproviders:\n  - { name: p, type: openai, base_url: '${URL}', api_key: '${EVIL}' }\n",
    );
    assert!(!said.contains("hush") && !said.contains("a: b"), "{said}");
    assert_snapshot!(said, @r#"
    toolgate.yaml:3:40: not a URL: relative URL without a base
      3 |   - { name: p, type: openai, base_url: '${URL}', api_key: '${EVIL}' }
        |                                        ^^^^^^^^

    toolgate.yaml:3:59: this key is empty, or has a character that no header can carry
      3 |   - { name: p, type: openai, base_url: '${URL}', api_key: '${EVIL}' }
        |                                                           ^^^^^^^^^
    "#);
}

#[test]
fn bad_references_point_at_their_line() {
    assert_snapshot!(refused("auth: none\nproviders:\n  - name: p\n    type: openai\n    base_url: http://x/v1\n    api_key: ${NOPE}\n"), @r#"
    toolgate.yaml:6:14: the environment variable `NOPE` is not set: set it, or give a default, `${NOPE:-…}`
      6 |     api_key: ${NOPE}
        |              ^^^^^^^
    "#);
    assert_snapshot!(refused_server("name: x\ntransport: stdio\ncommand: \"${oh no}\"\nargs: [\"${X\"]\n"), @r#"
    mcp-servers/x.yaml:3:10: `${oh no}` is no reference: write `${NAME}`, `${NAME:-default}` or `${file:path}`
      3 | command: "${oh no}"
        |          ^^^^^^^^^^

    mcp-servers/x.yaml:4:8: `${` is never closed by `}`; a literal `${` is written `$${`
      4 | args: ["${X"]
        |        ^^^^^
    "#);
}

#[test]
fn bad_providers_are_refused() {
    assert_snapshot!(refused("auth: none\nproviders: []\n"), @r#"toolgate.yaml: there are no `providers`: requests would have nowhere to go"#);
    assert_snapshot!(refused(
        "auth: none
providers:
  - { name: Claude, type: anthropic, base_url: 'https://x.test/?a=b' }
  - { name: p, type: openai, base_url: 'https://x.test', api_key: '${KEY}', headers: { authorization: '${KEY}' } }
  - { name: p, type: openai, base_url: 'https://x.test', headers: { Host: x, 'a b': c, X-A: '1', x-a: '2' } }
"), @r#"
    toolgate.yaml:3:13: a provider's name has lower-case letters, digits, hyphens and underscores, starts with a letter and is at most 64 long
      3 |   - { name: Claude, type: anthropic, base_url: 'https://x.test/?a=b' }
        |             ^^^^^^

    toolgate.yaml:3:48: a base URL has no query: the gateway appends paths to it
      3 |   - { name: Claude, type: anthropic, base_url: 'https://x.test/?a=b' }
        |                                                ^^^^^^^^^^^^^^^^^^^^^

    toolgate.yaml:4:88: `authorization` is set by `api_key` already
      4 |   - { name: p, type: openai, base_url: 'https://x.test', api_key: '${KEY}', headers: { authorization: '${KEY}' } }
        |                                                                                        ^^^^^^^^^^^^^

    toolgate.yaml:5:13: a second provider is called `p`
      5 |   - { name: p, type: openai, base_url: 'https://x.test', headers: { Host: x, 'a b': c, X-A: '1', x-a: '2' } }
        |             ^
      note: the first one is at toolgate.yaml:4:13

    toolgate.yaml:5:69: the gateway sets `host` itself
      5 |   - { name: p, type: openai, base_url: 'https://x.test', headers: { Host: x, 'a b': c, X-A: '1', x-a: '2' } }
        |                                                                     ^^^^

    toolgate.yaml:5:79: `a b` is not a header name
      5 |   - { name: p, type: openai, base_url: 'https://x.test', headers: { Host: x, 'a b': c, X-A: '1', x-a: '2' } }
        |                                                                               ^^^

    toolgate.yaml:5:98: `x-a` stands here twice: header names ignore case
      5 |   - { name: p, type: openai, base_url: 'https://x.test', headers: { Host: x, 'a b': c, X-A: '1', x-a: '2' } }
        |                                                                                                  ^^^
    "#);
}

#[test]
fn bad_settings_are_refused() {
    assert_snapshot!(refused(&format!(
        "{OPEN}listen: 8080
store: postgres://toolgate:hush@db.test/toolgate
tool_name: '{{server}}'
limits: {{ max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }}
")), @r#"
    toolgate.yaml:3:9: expected an address and a port, such as `127.0.0.1:8080` or `[::1]:8080`
      3 | listen: 8080
        |         ^^^^

    toolgate.yaml:4:8: a password must not stand in the file
      4 | store: *****************************************
        |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`

    toolgate.yaml:5:12: `{tool}` must stand in it, or all tools would have one name
      5 | tool_name: '{server}'
        |            ^^^^^^^^^^

    toolgate.yaml:6:21: expected a size such as `64KiB`, `32MiB`, `1GiB`, or a number of bytes
      6 | limits: { max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }
        |                     ^^^^

    toolgate.yaml:6:38: expected 1KiB or more
      6 | limits: { max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }
        |                                      ^

    toolgate.yaml:6:53: expected 1 or more
      6 | limits: { max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }
        |                                                     ^

    toolgate.yaml:6:63: expected 1s to 24h
      6 | limits: { max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }
        |                                                               ^^

    toolgate.yaml:6:79: expected a duration such as `500ms`, `10s`, `4m`, `1h` or `30d`
      6 | limits: { max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }
        |                                                                               ^^^^

    toolgate.yaml:6:103: expected 1s to 24h
      6 | limits: { max_body: 10MB, max_frame: 0, max_rounds: 0, drain: 0s, keep_alive: fast, wall_clock_whole: 100h }
        |                                                                                                       ^^^^
    "#);
    assert_snapshot!(refused(&format!("{OPEN}store: {{ url: 'mysql:x', durability: forever }}\n")), @r#"
    toolgate.yaml:3:38: expected one of `process`, `power`, found `forever`
      3 | store: { url: 'mysql:x', durability: forever }
        |                                      ^^^^^^^
    "#);
    assert_snapshot!(refused(&format!("{OPEN}store: {{ url: 'mysql:x' }}\n")), @r#"
    toolgate.yaml:3:15: expected `sqlite:` and a path, such as `sqlite:toolgate.db`, or `postgres://user@host/database`
      3 | store: { url: 'mysql:x' }
        |               ^^^^^^^^^
    "#);
    assert_snapshot!(refused(&format!("{OPEN}store: 'sqlite::memory:'\n")), @r#"
    toolgate.yaml:3:8: expected a file: the records must outlive the gateway
      3 | store: 'sqlite::memory:'
        |        ^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn bad_settings_of_conversations_are_refused() {
    assert_snapshot!(refused(&format!(
        "{OPEN}render: hiden
")), @r#"
    toolgate.yaml:3:9: expected one of `hidden`, `native`, `auto`, found `hiden`
      3 | render: hiden
        |         ^^^^^
      help: did you mean `hidden`?
    "#);
    assert_snapshot!(refused(&format!(
        "{OPEN}continuity: {{ retention: 5m, memory: 0, repeat_window: 2d }}
secret_keys: ['${{KEY}}', 'correct-horse-battery-staple-and-so-on']
")), @r#"
    toolgate.yaml:3:26: expected 1h to 3650d
      3 | continuity: { retention: 5m, memory: 0, repeat_window: 2d }
        |                          ^^

    toolgate.yaml:3:38: expected 1KiB or more
      3 | continuity: { retention: 5m, memory: 0, repeat_window: 2d }
        |                                      ^

    toolgate.yaml:3:56: expected 1s to 24h
      3 | continuity: { retention: 5m, memory: 0, repeat_window: 2d }
        |                                                        ^^

    toolgate.yaml:4:15: a key of fewer than 32 characters could be guessed
      4 | secret_keys: ['${KEY}', 'correct-horse-battery-staple-and-so-on']
        |               ^^^^^^^^
      help: make one with `openssl rand -base64 32`

    toolgate.yaml:4:25: a secret must not stand in the file
      4 | secret_keys: ['${KEY}', ****************************************]
        |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: keep it out of the file: write `${NAME}` for an environment variable or `${file:path}`
    "#);
}

#[test]
fn bad_servers_are_refused() {
    assert_snapshot!(refused_server("{ name: x, transport: stdio, command: x, repeat: twice }"), @r#"
    mcp-servers/x.yaml:1:50: expected one of `join`, `rerun`, found `twice`
      1 | { name: x, transport: stdio, command: x, repeat: twice }
        |                                                  ^^^^^
    "#);
    assert_snapshot!(refused_server("name: x\ntransport: stdio\nurl: https://x.test\nheaders: {}\n"), @r#"
    mcp-servers/x.yaml:1:7: a `stdio` server needs a `command`
      1 | name: x
        |       ^

    mcp-servers/x.yaml:3:1: `url` belongs to `transport: http`, and this server has another
      3 | url: https://x.test
        | ^^^

    mcp-servers/x.yaml:4:1: `headers` belongs to `transport: http`, and this server has another
      4 | headers: {}
        | ^^^^^^^
    "#);
    assert_snapshot!(refused_server("name: x\ntransport: http\ncommand: x\nenv: {}\n"), @r#"
    mcp-servers/x.yaml:1:7: an `http` server needs a `url`
      1 | name: x
        |       ^

    mcp-servers/x.yaml:3:1: `command` belongs to `transport: stdio`, and this server has another
      3 | command: x
        | ^^^^^^^

    mcp-servers/x.yaml:4:1: `env` belongs to `transport: stdio`, and this server has another
      4 | env: {}
        | ^^^
    "#);
    assert_snapshot!(refused_server(
        "name: my_server
transport: http
url: https://x.test/mcp
headers: { Mcp-Session-Id: x }
tools: { allow: ['{get'], deny: ['/(/'] }
timeouts: { call: soon }
labels: ['']
"), @r#"
    mcp-servers/x.yaml:1:7: a server's name has lower-case letters, digits and hyphens, starts with a letter and is at most 32 long
      1 | name: my_server
        |       ^^^^^^^^^

    mcp-servers/x.yaml:4:12: `mcp-session-id` is set by MCP's transport already
      4 | headers: { Mcp-Session-Id: x }
        |            ^^^^^^^^^^^^^^

    mcp-servers/x.yaml:5:18: `{` is never closed by `}`
      5 | tools: { allow: ['{get'], deny: ['/(/'] }
        |                  ^^^^^^

    mcp-servers/x.yaml:5:34: not a regular expression: unclosed group
      5 | tools: { allow: ['{get'], deny: ['/(/'] }
        |                                  ^^^^^

    mcp-servers/x.yaml:6:19: expected a duration such as `500ms`, `10s`, `4m`, `1h` or `30d`
      6 | timeouts: { call: soon }
        |                   ^^^^

    mcp-servers/x.yaml:7:10: a label is one line of 1 to 128 characters
      7 | labels: ['']
        |          ^^
    "#);
    assert_snapshot!(load_files(&[
        ("toolgate.yaml", OPEN),
        ("mcp-servers/a.yaml", "name: twin\ntransport: stdio\ncommand: x\n"),
        ("mcp-servers/b.yaml", "name: twin\ntransport: stdio\ncommand: x\n"),
    ]).unwrap_err(), @r#"
    mcp-servers/b.yaml:1:7: a second server is called `twin`
      1 | name: twin
        |       ^^^^
      note: the first one is at mcp-servers/a.yaml:1:7
    "#);
}

#[test]
fn a_missing_file_is_named() {
    let error = locate(Some(Path::new("/nowhere/toolgate.yaml"))).unwrap_err().to_string();
    assert!(error.contains("/nowhere/toolgate.yaml: cannot read"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    assert!(locate(Some(folder.path())).unwrap_err().to_string().contains("not a file"));
}

#[test]
fn the_examples_load() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/toolgate.yaml");
    let environment = |name: &str| {
        ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GITHUB_MCP_TOKEN"].contains(&name).then(|| "fake".to_owned())
    };
    let config = load_with(&examples, &environment).unwrap();
    let names: Vec<&str> = config.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["files", "github", "time"]);
    assert_eq!(config.providers.len(), 2);
    let policy = crate::policy::Policy::load(&config.policies).unwrap();
    assert_eq!(policy.tests().len(), 6);
    assert!(load_with(&examples, &|_| None).unwrap_err().to_string().contains("ANTHROPIC_API_KEY"));
}
