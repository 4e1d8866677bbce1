-- OAuth tokens that users granted for servers; sealed.
CREATE TABLE oauth_tokens (
    server     TEXT NOT NULL,
    user_name  TEXT NOT NULL,
    issuer     TEXT NOT NULL, -- the authorization server
    sealed     TEXT NOT NULL, -- base64
    updated_at TEXT NOT NULL,
    PRIMARY KEY (server, user_name)
);

-- What authorization servers call the gateway, where it had to introduce itself; sealed.
CREATE TABLE oauth_clients (
    server       TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    sealed       TEXT NOT NULL, -- base64
    updated_at   TEXT NOT NULL,
    PRIMARY KEY (server, issuer, redirect_uri)
);
