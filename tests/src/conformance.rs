//! The client that the official conformance suite examines: it signs in by the engine's own flow and
//! then uses the server as any MCP client does.
//!
//! It must not sign in by any other way. What it knows of single scenarios is whose redirect URI is
//! not its own to choose, here, and one tool's argument, in `tour`; for the rest it goes by what the
//! server asks. Where to read next: `sign_in`, `tour`.

#![expect(
    clippy::print_stderr,
    reason = "the suite keeps what a client prints beside its findings"
)]

mod form;
mod home;
mod person;
mod sign_in;
mod tour;

use std::sync::Arc;

use lamplighter_core::signin::RedirectWish;
use lamplighter_engine::{
    clock::SystemClock,
    http::{Client, Limits, Network, SystemNames},
};
use rmcp::model::ProtocolVersion;
use serde_json::Value;

use self::{
    home::Home,
    tour::{End, tour},
};

/// Why an examination could not be finished.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As often as a server may ask for a sign-in.
const SIGN_INS: usize = 3;
/// A client that was made elsewhere has the redirect URI that it was made with.
const OWN_REDIRECT: [&str; 2] = ["auth/basic-cimd", "auth/pre-registration"];

/// What the suite tells a client, by environment.
struct Exam {
    scenario: String,
    version: ProtocolVersion,
    /// What a scenario hands out: credentials, or the calls that it wants.
    context: Value,
}

impl Exam {
    fn given() -> Result<Self, Failure> {
        let told = |name| std::env::var(name).ok();
        let version = told("MCP_CONFORMANCE_PROTOCOL_VERSION").map(Value::from);
        let context = told("MCP_CONFORMANCE_CONTEXT");
        Ok(Self {
            scenario: told("MCP_CONFORMANCE_SCENARIO").unwrap_or_default(),
            version: version.map_or(Ok(ProtocolVersion::V_2025_11_25), serde_json::from_value)?,
            context: context.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?,
        })
    }
}

/// Everything a client does with the server at `url`: uses it, and signs in where it must.
pub async fn examined(url: &str, wish: RedirectWish) -> Result<(), Failure> {
    let exam = Exam::given()?;
    let own = OWN_REDIRECT.contains(&exam.scenario.as_str());
    let wish = if own { RedirectWish::Loopback } else { wish };
    let home = Home::lay_out(url, &exam.context)?;
    let http = Client::new(
        &Network::default(),
        &home.env(),
        Arc::new(SystemNames),
        Arc::new(SystemClock::new()),
        Limits::default(),
    )?;
    for _ in 0..SIGN_INS {
        let more_scopes = match tour(&http, &exam, url, home.token()?).await? {
            End::Served => return Ok(()),
            End::Refused => Vec::new(),
            End::MoreScopes(scopes) => scopes,
        };
        sign_in::sign_in(&home, wish, more_scopes).await?;
    }
    match tour(&http, &exam, url, home.token()?).await? {
        End::Served => Ok(()),
        End::Refused | End::MoreScopes(_) => Err("the server goes on asking for more".into()),
    }
}
