//! One conversation with a server: its tools are listed and called, its resources read, its prompts
//! got.
//!
//! It must not sign in, and must not call what `rmcp` leaves out of a list. Where to read next:
//! `form`, for what the tools are called with; `person`, for what is answered when a tool asks back.

use std::borrow::Cow;

use lamplighter_core::{oauth::challenge::Challenge, secret::Secret};
use lamplighter_engine::http::Client;
use rmcp::{
    ClientLifecycleMode, ClientServiceExt,
    model::{
        CallToolRequestParams, GetPromptRequestParams, JsonObject, ReadResourceRequestParams, Tool,
    },
    service::{ClientInitializeError, RoleClient, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Map, Value};

use super::{Exam, Failure, form::filled, person::Person};

/// The suite's tool that wants to be sent the other tool's schema as it came.
const ECHO: &str = "json_schema_echo";

/// How a conversation ended.
pub(super) enum End {
    /// Everything was answered.
    Served,
    /// The server wants a sign-in.
    Refused,
    /// The server wants a sign-in with these scopes too.
    MoreScopes(Vec<String>),
}

enum Stop {
    /// 401, or 403 with a challenge: its `WWW-Authenticate`, where it has one.
    Challenged(Option<String>),
    Failed(Failure),
}

impl From<ClientInitializeError> for Stop {
    fn from(error: ClientInitializeError) -> Self {
        match error.auth_challenge() {
            Some(header) => Self::Challenged(Some(header.to_owned())),
            None if error.is_authorization_required() => Self::Challenged(None),
            None => Self::Failed(error.into()),
        }
    }
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Self {
        match error.auth_challenge() {
            Some(header) => Self::Challenged(Some(header.to_owned())),
            None if error.is_authorization_required() => Self::Challenged(None),
            None => Self::Failed(error.into()),
        }
    }
}

/// Has a conversation with the server at `url`, with `token` where there is one.
pub(super) async fn tour(
    http: &Client,
    exam: &Exam,
    url: &str,
    token: Option<Secret>,
) -> Result<End, Failure> {
    let header = match conversation(http, exam, url, token).await {
        Ok(()) => return Ok(End::Served),
        Err(Stop::Failed(failure)) => return Err(failure),
        Err(Stop::Challenged(header)) => header,
    };
    let challenge = header.and_then(|header| Challenge::bearer(&[header]));
    Ok(match challenge {
        Some(challenge) if challenge.asks_for_more() => End::MoreScopes(challenge.scopes),
        Some(_) | None => End::Refused,
    })
}

async fn conversation(
    http: &Client,
    exam: &Exam,
    url: &str,
    token: Option<Secret>,
) -> Result<(), Stop> {
    let forbidden = || Stop::Failed("nothing may be sent to this address".into());
    let client = http.for_server(url).await.ok_or_else(forbidden)?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    if let Some(token) = token {
        config = config.auth_header(token.expose());
    }
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let lifecycle = if exam.version.has_initialize() {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Discover { preferred_versions: vec![exam.version.clone()] }
    };
    let person = Person::speaking(exam.version.clone());
    let service = person.serve_with_lifecycle(transport, lifecycle).await?;
    let seen = look_around(&service, exam).await;
    // The server is left either way; what was seen counts.
    let _ = service.cancel().await;
    seen
}

/// Uses all that the server says it has.
async fn look_around(
    service: &RunningService<RoleClient, Person>,
    exam: &Exam,
) -> Result<(), Stop> {
    let Some(server) = service.peer().peer_info() else { return Ok(()) };
    if server.capabilities.tools.is_some() {
        let tools = service.list_all_tools().await?;
        for call in calls(&exam.context, &tools) {
            let name = call.name.clone();
            match service.call_tool(call).await {
                Ok(result) => eprintln!("{name}: {result:?}"),
                // The tool's own answer, though not a good one.
                Err(ServiceError::McpError(error)) => eprintln!("{name}: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    if server.capabilities.resources.is_some() {
        for resource in service.list_all_resources().await? {
            service.read_resource(ReadResourceRequestParams::new(resource.uri)).await?;
        }
    }
    if server.capabilities.prompts.is_some() {
        for prompt in service.list_all_prompts().await? {
            service.get_prompt(GetPromptRequestParams::new(prompt.name)).await?;
        }
    }
    Ok(())
}

/// The calls that the scenario hands out, else one of each tool with its form filled in.
fn calls(context: &Value, tools: &[Tool]) -> Vec<CallToolRequestParams> {
    if let Some(given) = context["toolCalls"].as_array() {
        let name = |call: &Value| call["name"].as_str().unwrap_or_default().to_owned();
        let arguments = |call: &Value| call["arguments"].as_object().cloned().unwrap_or_default();
        return given.iter().map(|call| to_call(name(call).into(), arguments(call))).collect();
    }
    let arguments = |tool: &Tool| match tools.iter().find(|other| other.name != ECHO) {
        Some(other) if tool.name == ECHO => {
            Map::from_iter([("schema".to_owned(), Value::Object((*other.input_schema).clone()))])
        }
        Some(_) | None => filled(&tool.input_schema),
    };
    tools.iter().map(|tool| to_call(tool.name.clone(), arguments(tool))).collect()
}

fn to_call(name: Cow<'static, str>, arguments: JsonObject) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(arguments)
}
