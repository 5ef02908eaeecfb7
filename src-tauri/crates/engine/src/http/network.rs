//! How this machine gets out: its certificate authorities and its proxy.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, Proxy};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use lamplighter_core::http::{Hosts, PlainHttp};

use crate::{
    deadline,
    paths::Env,
    regular_file::{self, LARGEST},
};

/// How long a file of certificates is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How to get out, from the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The proxy.
    pub proxy: ProxyChoice,
    /// PEM files with certificate authorities that are trusted besides the system's.
    pub extra_ca: Vec<PathBuf>,
    /// Hosts that may be spoken to without TLS.
    pub plain_http: PlainHttp,
    /// Hosts that may have a private address although the MCP server on whose behalf they are asked has
    /// none.
    pub allow_private: Hosts,
}

/// Which proxy is used. Loopback never goes through one.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// What the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) says, else the system.
    #[default]
    Automatic,
    /// None.
    Off,
    /// This one, save for hosts in `NO_PROXY`.
    Url(String),
}

/// The URL may hold a password.
impl std::fmt::Debug for ProxyChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Automatic => "Automatic",
            Self::Off => "Off",
            Self::Url(_) => "Url",
        })
    }
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// A file of certificates can't be used.
    #[error("the certificates in {} can't be used: {what}", .place.display())]
    ExtraCa {
        /// The file.
        place: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The proxy's address can't be used.
    #[error("the proxy's address is not a URL that Lamplighter understands")]
    Proxy,
    /// TLS could not be set up at all.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

impl ProxyChoice {
    /// The client that goes through the proxy, with what tells which hosts it is used for.
    pub(super) fn client(
        &self,
        env: &Env,
        plain: impl FnOnce() -> ClientBuilder,
    ) -> Result<Option<(Matcher, reqwest::Client)>, NetworkFault> {
        let variable = |name: &str| {
            let found = env.get(name).or_else(|| env.get(&name.to_ascii_lowercase()));
            found.and_then(|value| value.into_string().ok())
        };
        let address = match (self, env) {
            (Self::Off, _) => None,
            (Self::Automatic, Env::Process) => {
                return Ok(Some((Matcher::from_system(), built(plain())?)));
            }
            (Self::Automatic, Env::Fixed(_)) => {
                variable("HTTPS_PROXY").or_else(|| variable("ALL_PROXY"))
            }
            (Self::Url(url), _) => Some(url.clone()),
        };
        let Some(address) = address else {
            return Ok(None);
        };
        let spared = variable("NO_PROXY").unwrap_or_default();
        let proxy = Proxy::https(&address)
            .map_err(|_| NetworkFault::Proxy)?
            .no_proxy(reqwest::NoProxy::from_string(&spared));
        let matcher = Matcher::builder().https(address).no(spared).build();
        Ok(Some((matcher, built(plain().proxy(proxy))?)))
    }
}

/// The client, or what was wrong with it; the words may not repeat a URL.
pub(super) fn built(builder: ClientBuilder) -> Result<reqwest::Client, NetworkFault> {
    builder.build().map_err(|error| NetworkFault::Tls(error.without_url().to_string()))
}

/// The system's certificate authorities and the user's extra ones.
pub(super) fn tls(extra_ca: &[PathBuf]) -> Result<(ClientConfig, Option<String>), NetworkFault> {
    let mut extra = Vec::new();
    for place in extra_ca {
        let refused = |what: String| NetworkFault::ExtraCa { place: place.clone(), what };
        let file = place.clone();
        let text = deadline::within(PATIENCE, move || regular_file::read(&file, LARGEST))
            .ok_or_else(|| refused("it does not answer".into()))?
            .map_err(|error| refused(error.to_string()))?;
        let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| refused(error.to_string()))?;
        if found.is_empty() {
            return Err(refused("there is no certificate in it".into()));
        }
        for certificate in &found {
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|error| refused(error.to_string()))?;
        }
        extra.extend(found);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| NetworkFault::Tls(error.to_string()))?;
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider);
    let (mut config, advice) = match verifier {
        Ok(verifier) => {
            let trusting =
                versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
            (trusting.with_no_client_auth(), None)
        }
        // A machine without certificate authorities can still talk to loopback.
        Err(error) => {
            let trusting = versions.with_root_certificates(RootCertStore::empty());
            (
                trusting.with_no_client_auth(),
                Some(format!("no HTTPS server can be trusted: {error}")),
            )
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, advice))
}
