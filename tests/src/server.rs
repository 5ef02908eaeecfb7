//! What MCP servers are built on, each with an MCP server behind it and approving by itself.
//!
//! It must not be told anything that an operator couldn't do, but for what `walk.mjs` does as a
//! person would. Where to read next: `tests/peers`, a folder for each.

use serde_json::json;

use crate::{
    browser::visit,
    oidc::{Choices, OidcProvider, Walk},
    script::Script,
    sign_in::SignIn,
};

/// A running server; it remembers nothing beyond its end.
#[derive(Debug)]
pub struct Server {
    script: Script,
    /// The authorization server behind one that only stands before it.
    upstream: Option<OidcProvider>,
}

impl Server {
    /// `mcpAuthRouter` of the MCP TypeScript SDK. A spent refresh token ends its sign-in.
    pub fn mcp_sdk(life_seconds: u32) -> Self {
        let options = json!({"life_seconds": life_seconds});
        Self { script: Script::node("mcp-sdk", "mcp-sdk-1.32.2", &options), upstream: None }
    }

    /// Cloudflare's `workers-oauth-provider` in workerd. The refresh token before the newest stays
    /// good until the newest is used.
    pub fn workers(life_seconds: u32) -> Self {
        let options = json!({"life_seconds": life_seconds});
        let packages = "workers-oauth-provider-0.10.4";
        Self { script: Script::node("workers", packages, &options), upstream: None }
    }

    /// fastmcp's `OAuthProxy` before an `oidc-provider`, with a form of consent. A spent refresh
    /// token is refused, the newest lives on.
    pub fn fastmcp(life_seconds: u32) -> Self {
        let upstream = OidcProvider::start(Choices::default());
        let options = json!({"life_seconds": life_seconds, "upstream": upstream.issuer()});
        let script = Script::python("fastmcp", "fastmcp-4.0.11", &options);
        Self { script, upstream: Some(upstream) }
    }

    /// Where the MCP server is.
    pub fn server_url(&self) -> &str {
        self.script.ready("server_url")
    }

    /// Signs in as a client does: metadata, registration, authorization, exchange.
    pub fn sign_in(&self) -> SignIn {
        match &self.upstream {
            Some(upstream) => {
                let origin = format!("http://127.0.0.1:{}", self.script.port());
                upstream.sign_in_at(&origin, self.server_url())
            }
            None => SignIn::told(self.server_url(), &self.script.just("sign_in")),
        }
    }

    /// The same at what stands in front of it; for those that take the name they are asked at.
    pub fn sign_in_at(&self, origin: &str) -> SignIn {
        SignIn::told(&format!("{origin}/mcp"), &self.script.ask("sign_in", json!({"at": origin})))
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.script.port()
    }

    /// Ends a sign-in, as an operator would; with an authorization server behind it, all there are.
    pub fn revoke(&self, sign_in: &SignIn, refresh_token: &str) {
        if let Some(upstream) = &self.upstream {
            upstream.revoke_all();
        } else {
            let grant = json!({"client_id": sign_in.client_id, "refresh_token": refresh_token});
            self.script.ask("revoke", grant);
        }
    }

    /// Goes through its pages from this address on, as a person who agrees, back to the client.
    pub fn walk(&self, page: &str, redirect_uri: &str) -> Walk {
        if let Some(upstream) = &self.upstream {
            return upstream.walk(page, false, redirect_uri);
        }
        let seen = visit(page);
        let callback = seen.location.filter(|to| to.starts_with(redirect_uri));
        let callback =
            callback.unwrap_or_else(|| panic!("no way back: {} {}", seen.status, seen.body));
        Walk { pages: Vec::new(), callback }
    }

    /// Forgets the registration of a sign-in's client.
    pub fn forget(&self, sign_in: &SignIn) {
        self.script.ask("forget", json!({"client_id": sign_in.client_id}));
    }
}
