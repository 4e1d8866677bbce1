use std::path::PathBuf;

use super::*;

const CLAUDE: &str = r#"{
  "mcpServers": {
    "github": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-github"],
      "env": {"GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_0123456789abcdefghij0123456789abcdef", "LOG_LEVEL": "debug"}
    },
    "Sentry (EU)": {
      "type": "http",
      "url": "https://mcp.sentry.dev/mcp",
      "headers": {"Authorization": "Bearer hush-hush", "X-Region": "eu"},
      "timeout": 45000,
      "alwaysAllow": ["find_issues"],
      "oauth": {"clientId": "abc"}
    },
    "linear": {
      "type": "http",
      "url": "https://mcp.linear.app/mcp",
      "oauth": {"clientId": "abc", "scopes": "read write", "callbackPort": 8080}
    },
    "files": {"command": "cmd", "args": ["/c", "npx", "-y", "@modelcontextprotocol/server-filesystem", "C:\\docs"]},
    "db": {"command": "mcp-postgres", "args": ["postgresql://admin:hunter2@db.test/main", "--api-key", "hush-3", "--token=hush-4"]},
    "remote": {"command": "npx", "args": ["mcp-remote", "https://x.test/sse?apiKey=hush-5", "--header", "Authorization: Bearer hush-6"]},
    "plain": {"url": "${API_BASE_URL:-https://api.example.com}/mcp", "headers": {"X-Api-Key": "${API_KEY}"}},
    "off": {"command": "x", "disabled": true},
    "socket": {"type": "ws", "url": "wss://x.test"},
    "empty": {}
  }
}"#;

const LITELLM: &str = r#"
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: sk-0123456789abcdefghij}
litellm_settings:
  mcp_aliases: {deepwiki: deepwiki_mcp}
mcp_servers:
  deepwiki_mcp:
    url: "https://mcp.deepwiki.com/mcp"
    transport: http
    description: Wikis
    allowed_tools: [read_wiki_structure, read_wiki_contents]
  zapier:
    url: https://actions.zapier.com/mcp/sse
    transport: sse
    auth_type: bearer_token
    auth_value: os.environ/ZAPIER_TOKEN
    access_groups: [dev]
  github_mcp:
    url: https://api.githubcopilot.com/mcp
    auth_type: api_key
    auth_value: "abc-literal"
    static_headers: {X-Team: blue}
    extra_headers: [x-github-token]
    disallowed_tools: [delete_repo]
    timeout: 2.5
  circle_ci:
    transport: stdio
    command: npx
    args: ["-y", "@circleci/mcp-server-circleci"]
    env: {CIRCLECI_TOKEN: "your-circleci-token", CIRCLECI_BASE_URL: "https://circleci.com"}
  machine:
    url: https://m.test/mcp
    auth_type: oauth2
    oauth2_flow: client_credentials
    client_id: os.environ/M_ID
    client_secret: literal-secret
    token_url: https://idp.test/token
    scopes: [a, b]
  pets: {spec_path: ./petstore.yaml, url: https://petstore.test}
"#;

struct Import {
    folder: tempfile::TempDir,
    code: ExitCode,
}

impl Import {
    fn of(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let code = run(&Args { file, out: folder.path().join("mcp-servers") }).unwrap();
        Self { folder, code }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("mcp-servers").join(format!("{name}.yaml"))
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn value(&self, name: &str) -> Value {
        config::parse_document(&self.path(name), &self.text(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path().join("mcp-servers"))
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    fn everything(&self) -> String {
        self.names().iter().map(|name| self.text(name)).collect()
    }
}

#[test]
fn claudes_servers_become_files_without_secrets() {
    let import = Import::of(".mcp.json", CLAUDE);
    assert_eq!(import.names(), ["db", "files", "github", "linear", "plain", "remote", "sentry-eu"]);
    assert_eq!(import.code, ExitCode::FAILURE, "some are left out");
    let all = import.everything();
    for secret in ["ghp_", "hush", "hunter2"] {
        assert!(!all.contains(secret), "{all}");
    }
    let github = import.value("github");
    assert_eq!(github["env"]["GITHUB_PERSONAL_ACCESS_TOKEN"], "${GITHUB_PERSONAL_ACCESS_TOKEN}");
    assert_eq!((&github["env"]["LOG_LEVEL"], &github["command"]), (&"debug".into(), &"npx".into()));
    let sentry = import.value("sentry-eu");
    assert_eq!(sentry["headers"]["Authorization"], "Bearer ${SENTRY_EU_AUTHORIZATION}");
    assert_eq!(sentry["headers"]["X-Region"], "eu");
    assert_eq!(sentry["timeouts"]["call"], "45000ms");
    let text = import.text("sentry-eu");
    for words in [
        "named sentry-eu here",
        "`alwaysAllow` is not carried over: policies",
        "`oauth` is not carried over",
        "secret",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let linear = import.value("linear");
    assert_eq!(
        linear["credentials"].to_string(),
        r#"{"type":"authorization-code","scopes":["read","write"]}"#
    );
    assert_eq!(linear["sharing"], "per-caller");
    assert!(import.text("linear").contains("`oauth.clientId` is not carried over"));
    assert_eq!(import.value("files")["command"], "npx");
    let db = import.value("db")["args"].to_string();
    assert_eq!(db, r#"["${DB_ARG_1}","--api-key","${DB_API_KEY}","--token=${DB_TOKEN}"]"#);
    let remote = import.value("remote")["args"].to_string();
    assert!(
        remote.contains("?apiKey=${REMOTE_APIKEY}") && remote.contains("Authorization: Bearer ${"),
        "{remote}"
    );
    assert!(import.text("remote").contains("`mcp-remote` is not needed"));
    let plain = import.value("plain");
    assert_eq!(plain["url"], "${API_BASE_URL:-https://api.example.com}/mcp");
    assert_eq!(plain["headers"]["X-Api-Key"], "${API_KEY}");
}

#[test]
fn litellms_servers_become_files_without_secrets() {
    let import = Import::of("config.yaml", LITELLM);
    assert_eq!(import.names(), ["circle-ci", "deepwiki", "github-mcp", "machine", "zapier"]);
    let all = import.everything();
    for secret in ["abc-literal", "your-circleci-token", "literal-secret", "sk-"] {
        assert!(!all.contains(secret), "{all}");
    }
    let deepwiki = import.value("deepwiki");
    assert_eq!(deepwiki["tools"]["allow"].to_string(), r#"["read_wiki_structure","read_wiki_contents"]"#);
    let zapier = import.value("zapier");
    assert_eq!(zapier["headers"]["Authorization"], "Bearer ${ZAPIER_TOKEN}");
    let text = import.text("zapier");
    assert!(
        text.contains("old transport") && text.contains("`access_groups` is not carried over: policies"),
        "{text}"
    );
    let github = import.value("github-mcp");
    assert_eq!(github["headers"]["X-API-Key"], "${GITHUB_MCP_AUTH_TOKEN}");
    assert_eq!(
        (&github["headers"]["X-Team"], &github["timeouts"]["call"]),
        (&"blue".into(), &"2500ms".into())
    );
    assert_eq!(github["tools"]["deny"][0], "delete_repo");
    assert!(import.text("github-mcp").contains("`extra_headers` is not carried over"));
    let circle = import.value("circle-ci");
    assert_eq!(circle["env"]["CIRCLECI_TOKEN"], "${CIRCLECI_TOKEN}");
    assert_eq!(circle["env"]["CIRCLECI_BASE_URL"], "https://circleci.com");
    let machine = &import.value("machine")["credentials"];
    assert_eq!((&machine["type"], &machine["client_id"]), (&"client-credentials".into(), &"${M_ID}".into()));
    assert_eq!(machine["client_secret"], "${MACHINE_CLIENT_SECRET}");
    assert_eq!(
        (&machine["token_url"], &machine["scopes"][1]),
        (&"https://idp.test/token".into(), &"b".into())
    );
}

#[test]
fn what_is_there_is_never_overwritten() {
    let import = Import::of("a.json", r#"{"mcpServers": {"one": {"command": "x"}}}"#);
    assert_eq!(import.code, ExitCode::SUCCESS);
    fs::write(import.path("one"), "mine").unwrap();
    let file = import.folder.path().join("a.json");
    let code = run(&Args { file: file.clone(), out: import.folder.path().join("mcp-servers") }).unwrap();
    assert_eq!((code, import.text("one").as_str()), (ExitCode::FAILURE, "mine"));
    fs::write(&file, r#"{"servers": {"A b": {"command": "x"}, "a_b": {"command": "y"}}}"#).unwrap();
    let code = run(&Args { file: file.clone(), out: import.folder.path().join("mcp-servers") }).unwrap();
    assert_eq!(code, ExitCode::FAILURE, "two of one name");
    assert_eq!(import.value("a-b")["command"], "x");
    fs::write(&file, r#"{"tools": 1}"#).unwrap();
    let error = run(&Args { file, out: import.folder.path().join("mcp-servers") }).unwrap_err();
    assert!(format!("{error:#}").contains("neither `mcpServers`"), "{error:#}");
}
