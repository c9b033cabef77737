//! What drivers are made of: the provider's address, the account's credentials, and why one cannot be made.

use std::collections::BTreeMap;

use reqwest::{Url, header::HeaderValue};

use crate::domain::{
    channel::{ChannelSpec, Secret},
    kind::ChannelKind,
};

/// Why a channel has no driver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconnectable {
    #[error("this version cannot send through channels of kind `{0}`")]
    NoDriver(ChannelKind),
    #[error("no gateway speaks `{0}`; write `waha` or `wuzapi`")]
    UnsupportedGateway(String),
    #[error("the credential `{0}` is missing")]
    MissingCredential(&'static str),
    #[error("the credential `{0}` is empty or has characters that no credential has")]
    UnusableCredential(&'static str),
    #[error("the setting `{0}` is missing")]
    MissingSetting(&'static str),
    #[error("`callbackUrl` is neither `http://…` nor `https://…`")]
    BadCallbackUrl,
    #[error("`endpoint` is {0}")]
    BadEndpoint(&'static str),
}

/// The base address of a provider: the manifest's, or the kind's own.
pub(super) fn endpoint(spec: &ChannelSpec) -> Result<Url, Unconnectable> {
    let text = spec.endpoint.as_deref().or(spec.kind.facts().endpoint);
    let text = text.ok_or(Unconnectable::BadEndpoint("missing"))?;
    let bad = |reason| Err(Unconnectable::BadEndpoint(reason));
    let Ok(url) = Url::parse(text) else { return bad("no URL") };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return bad("neither `http://…` nor `https://…`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("a URL with a user name or password; secrets belong into `credentials`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("a URL with a query or a fragment");
    }
    Ok(url)
}

/// A call's URL below the endpoint. Segments are escaped, so a setting cannot lead elsewhere.
pub(super) fn below(endpoint: &Url, segments: &[&str]) -> Url {
    let mut url = endpoint.clone();
    url.path_segments_mut()
        .expect("`endpoint` lets only http and https pass, which have a path")
        .pop_if_empty()
        .extend(segments);
    url
}

/// A credential's value, of characters that go through everywhere.
pub(super) fn credential<'a>(
    secrets: &'a BTreeMap<String, Secret>,
    name: &'static str,
) -> Result<&'a str, Unconnectable> {
    let secret = secrets.get(name).ok_or(Unconnectable::MissingCredential(name))?;
    // A file with a secret mostly ends with a line feed.
    let value = secret.reveal().trim();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unconnectable::UnusableCredential(name));
    }
    Ok(value)
}

/// A credential as a header, marked so that no library shows it.
pub(super) fn credential_header(
    secrets: &BTreeMap<String, Secret>,
    name: &'static str,
    prefix: &str,
) -> Result<HeaderValue, Unconnectable> {
    let value = credential(secrets, name)?;
    let mut header = HeaderValue::try_from(format!("{prefix}{value}"))
        .map_err(|_| Unconnectable::UnusableCredential(name))?;
    header.set_sensitive(true);
    Ok(header)
}
