//! Asks an MCP server whether it accepts an access token: `initialize`, then `tools/list`.
//!
//! It must never renew, never be interactive, and never take a server that answers without a token
//! for one that accepts it: that one proves nothing, so it is asked without a token first. Only a
//! clear yes or no counts; everything else is "unknown".

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    time::Duration,
};

use lamplighter_core::{keeper::ProbeFinding, secret::Secret};
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::{
    ServiceExt,
    model::PaginatedRequestParams,
    service::ClientInitializeError,
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};

/// For the whole conversation. A server that is slower is "unknown".
const PATIENCE: Duration = Duration::from_secs(20);
/// As many pages of tools as are counted.
const PAGES: usize = 10;

/// A finding on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = ProbeFinding> + Send + 'a>>;

/// Asks a server.
pub trait Probe: Send + Sync {
    /// Whether the server at `url` accepts `access`, with the configured `headers` sent along.
    fn ask<'a>(
        &'a self,
        url: &'a str,
        access: &'a Secret,
        headers: &'a BTreeMap<String, String>,
    ) -> Asking<'a>;
}

/// Gives the HTTP client that may talk to a server: its addresses are guarded like any other.
pub type ClientFor =
    dyn Fn(&str) -> Pin<Box<dyn Future<Output = Option<reqwest::Client>> + Send>> + Send + Sync;

/// Asks over streamable HTTP, as MCP clients do.
pub struct McpProbe {
    client_for: Box<ClientFor>,
}

impl McpProbe {
    /// A probe that talks through the clients that `client_for` gives.
    pub fn new(client_for: Box<ClientFor>) -> Self {
        Self { client_for }
    }

    async fn asked(
        &self,
        url: &str,
        access: &Secret,
        headers: &BTreeMap<String, String>,
    ) -> ProbeFinding {
        let Some(client) = (self.client_for)(url).await else { return ProbeFinding::Unknown };
        let Some(headers) = sendable(headers) else { return ProbeFinding::Unknown };
        match hello(client.clone(), url, None, headers.clone()).await {
            Err(Trouble::Refused) => {}
            // It lets anybody in, or cannot be asked at all.
            Ok(_) | Err(Trouble::Other) => return ProbeFinding::Unknown,
        }
        match hello(client, url, Some(access), headers).await {
            Ok(tools) => ProbeFinding::Accepted(tools),
            Err(Trouble::Refused) => ProbeFinding::Refused,
            Err(Trouble::Other) => ProbeFinding::Unknown,
        }
    }
}

impl Probe for McpProbe {
    fn ask<'a>(
        &'a self,
        url: &'a str,
        access: &'a Secret,
        headers: &'a BTreeMap<String, String>,
    ) -> Asking<'a> {
        Box::pin(async move {
            let asked = self.asked(url, access, headers);
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or(ProbeFinding::Unknown)
        })
    }
}

/// Never asks anybody: for settings that turn the probe off.
pub struct NoProbe;

impl Probe for NoProbe {
    fn ask<'a>(&'a self, _: &'a str, _: &'a Secret, _: &'a BTreeMap<String, String>) -> Asking<'a> {
        Box::pin(std::future::ready(ProbeFinding::Unknown))
    }
}

enum Trouble {
    /// 401 or 403 with a challenge.
    Refused,
    Other,
}

/// Headers that would stand in for the token, or lead it to another server behind the same address.
const NEVER_SENT: [HeaderName; 3] =
    [reqwest::header::AUTHORIZATION, reqwest::header::PROXY_AUTHORIZATION, reqwest::header::HOST];

/// Headers as they travel; `None` if there is one that must not.
fn sendable(headers: &BTreeMap<String, String>) -> Option<HashMap<HeaderName, HeaderValue>> {
    let mut sent = HashMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        if NEVER_SENT.contains(&name) {
            return None;
        }
        sent.insert(name, HeaderValue::try_from(value.as_str()).ok()?);
    }
    Some(sent)
}

/// One conversation; the number of tools, where the server told them.
async fn hello(
    client: reqwest::Client,
    url: &str,
    access: Option<&Secret>,
    headers: HashMap<HeaderName, HeaderValue>,
) -> Result<Option<u32>, Trouble> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(headers);
    if let Some(access) = access {
        config = config.auth_header(access.expose());
    }
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let service = ().serve(transport).await.map_err(|error| trouble(&error))?;
    let mut count = 0_usize;
    let mut cursor = None;
    let mut told = true;
    for _ in 0..PAGES {
        let page = PaginatedRequestParams::default().with_cursor(cursor.take());
        let Ok(listed) = service.list_tools(Some(page)).await else {
            told = false;
            break;
        };
        count += listed.tools.len();
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    // The session ends with us; whether the server hears of it changes nothing.
    let _ = service.cancel().await;
    Ok(u32::try_from(count).ok().filter(|_| told))
}

fn trouble(error: &ClientInitializeError) -> Trouble {
    if error.auth_challenge().is_some() || error.is_authorization_required() {
        Trouble::Refused
    } else {
        Trouble::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_stands_in_for_the_token_or_names_another_host_is_not_sent() {
        let headers = |name: &str| BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        assert_eq!(sendable(&headers("X-Workspace")).map(|sent| sent.len()), Some(1));
        for name in ["Authorization", "proxy-authorization", "Host", "HOST", "bad name", "x\ny"] {
            assert!(sendable(&headers(name)).is_none(), "{name}");
        }
    }
}
