//! The person at the keyboard, whom a tool may ask for something while it runs.
//!
//! It must not refuse a form, nor follow an address. Where to read next: `form`.

use rmcp::{
    ClientHandler, ErrorData,
    model::{
        ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
        ElicitationCapability, FormElicitationCapability, Implementation, ProtocolVersion,
    },
    service::{RequestContext, RoleClient},
};
use serde_json::Value;

use super::form::filled;

/// Somebody who sends each form back with what it proposes.
pub(super) struct Person(ClientConfig);

impl Person {
    /// Whose client speaks this version.
    pub(super) fn speaking(version: ProtocolVersion) -> Self {
        let form = ElicitationCapability::new().with_form(FormElicitationCapability::new());
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(form);
        let client = Implementation::new("lamplighter", env!("CARGO_PKG_VERSION"));
        Self(ClientConfig::new(capabilities, client).with_protocol_version(version))
    }
}

impl ClientHandler for Person {
    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { requested_schema, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        let schema = serde_json::to_value(requested_schema)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let content = schema.as_object().map(filled).unwrap_or_default();
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(Value::Object(content)))
    }

    fn get_info(&self) -> ClientConfig {
        self.0.clone()
    }
}
