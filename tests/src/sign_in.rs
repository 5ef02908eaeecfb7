//! A sign-in that a real server gave, and Claude Code's entry for it.
//!
//! It must not invent anything: every value comes from the server. Where to read next: `oidc`.

use serde_json::{Value, json};

use crate::{
    home::Home,
    store::{self, CREDENTIALS},
};

/// What a client holds once it is signed in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Where the MCP server is.
    pub server_url: String,
    /// The authorization server.
    pub issuer: String,
    /// The client, registered for this.
    pub client_id: String,
    /// Its redirect URI.
    pub redirect_uri: String,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// When the access token ends, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// What was granted.
    pub scope: String,
}

impl SignIn {
    /// As a server's script tells it.
    pub fn told(server_url: &str, value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let sign_in = Self {
            server_url: server_url.to_owned(),
            issuer: text("issuer"),
            client_id: text("client_id"),
            redirect_uri: text("redirect_uri"),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            expires_at_ms: value["expires_at_ms"].as_i64().unwrap_or_default(),
            scope: text("scope"),
        };
        assert_ne!(sign_in.refresh_token, "", "the server gave no refresh token");
        sign_in
    }

    /// The store's key of this server under this name.
    pub fn key(&self, name: &str) -> String {
        store::key(name, &self.server_url)
    }

    /// Writes the store as Claude Code leaves it after this sign-in, and no other.
    pub fn write(&self, home: &Home, name: &str) {
        let entry = json!({
            "serverName": name,
            "serverUrl": self.server_url,
            "accessToken": self.access_token,
            "discoveryState": {
                "authorizationServerUrl": self.issuer,
                "oauthMetadataFound": true
            },
            "clientId": self.client_id,
            "redirectUri": self.redirect_uri,
            "refreshToken": self.refresh_token,
            "expiresAt": self.expires_at_ms,
            "scope": self.scope,
        });
        let text = json!({"mcpOAuth": {self.key(name): entry}});
        store::write(home, CREDENTIALS, &text.to_string());
    }

    /// The tokens as the store has them now: access, refresh.
    pub fn stored(&self, home: &Home, name: &str) -> (String, String) {
        let entry = store::entry(home, &self.key(name));
        let text = |member: &str| entry[member].as_str().unwrap_or_default().to_owned();
        (text("accessToken"), text("refreshToken"))
    }
}
