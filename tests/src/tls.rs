//! A certificate for `localhost` that was made a moment ago, for a stand-in that speaks HTTPS.
//!
//! Where to read next: `hostile`, its user.

use std::sync::Arc;

use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};

/// What a server needs to be `localhost`, and the certificate as PEM for whoever is to believe it.
pub(crate) fn for_localhost() -> (Arc<ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into());
    (Arc::new(config.expect("a key that fits")), made.cert.pem())
}
