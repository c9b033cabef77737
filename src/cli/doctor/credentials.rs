//! The secrets that manifests refer to: there, and read by nobody else. Never a value.

use std::{cmp::Reverse, collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use super::check::{Check, Verdict};
use crate::{
    cli::findings::counted,
    config,
    domain::{
        channel::SecretReference,
        desired::DesiredResource,
        resource::{Resource, ResourceKey},
    },
    store::Purpose,
};

/// A folder may hold thousands of accounts; nobody reads a thousand lines.
const SHOWN_MAX: usize = 50;

/// Whether something cannot be done without a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

pub(super) fn look(
    resources: &BTreeMap<ResourceKey, DesiredResource>,
    purpose: Option<Purpose>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut n_found = 0;
    for (key, resource) in resources {
        for (name, need, reference) in references(&resource.resource) {
            match look_at(&format!("{key}: `{name}`"), need, reference) {
                Some(check) => checks.push(check),
                None => n_found += 1,
            }
        }
    }
    if purpose == Some(Purpose::Rehearsal) {
        let n_missing = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
        let missing = match n_missing {
            0 => String::new(),
            n => format!("; for real sending {} would be missing", counted(n, "reference")),
        };
        let message = format!("this database is a rehearsal's, which needs none{missing}");
        return vec![Check::ok("credentials", message)];
    }
    // What keeps something from working comes first, and is not cut for what does not.
    checks.sort_by_key(|check| Reverse(check.verdict));
    if let Some(first_cut) = checks.get(SHOWN_MAX) {
        let message = format!("… and {} more", checks.len() - SHOWN_MAX);
        let remedy = "mend those above first, and look again";
        let rest = match first_cut.verdict {
            Verdict::Fail => Check::fail("credentials", message, remedy),
            Verdict::Ok | Verdict::Warn => Check::warn("credentials", message, remedy),
        };
        checks.truncate(SHOWN_MAX);
        checks.push(rest);
    }
    if n_found > 0 || checks.is_empty() {
        let found = format!("{} found", counted(n_found, "reference"));
        checks.insert(0, Check::ok("credentials", found));
    }
    checks
}

/// Every secret that a resource refers to, by its name.
fn references(resource: &Resource) -> Vec<(&str, Need, &SecretReference)> {
    match resource {
        Resource::Channel(spec) => {
            let facts = spec.kind.facts().credentials;
            let need = |name: &str| {
                let required = facts.iter().any(|facts| facts.name == name && facts.required);
                if required { Need::Required } else { Need::Optional }
            };
            let named = spec.credentials.iter();
            named.map(|(name, reference)| (name.as_str(), need(name), reference)).collect()
        }
        Resource::Ai(spec) => {
            spec.api_key.iter().map(|key| ("apiKey", Need::Required, key)).collect()
        }
        Resource::Integration(spec) => {
            let url = spec.url.iter().map(|url| ("url", Need::Required, url));
            let named = spec.credentials.iter();
            url.chain(named.map(|(name, secret)| (name.as_str(), Need::Required, secret))).collect()
        }
        Resource::Manager(_) | Resource::SuppressionList(_) => Vec::new(),
    }
}

/// What is wrong with one reference, if anything is.
fn look_at(what: &str, need: Need, reference: &SecretReference) -> Option<Check> {
    if let Err(missing) = config::secret(reference) {
        let message = format!("{what}: {missing}");
        let remedy = match reference {
            SecretReference::Environment(name) => {
                format!("set {name} where `nuncio watch` runs; a rehearsal needs none")
            }
            SecretReference::File(path) => {
                format!("write the secret into `{path}`, and let only its user read it")
            }
        };
        return Some(match need {
            Need::Required => Check::fail("credentials", message, &remedy),
            Need::Optional => Check::warn("credentials", message, &remedy),
        });
    }
    let SecretReference::File(path) = reference else { return None };
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        let message = format!("{what}: every user of this machine may read `{path}`");
        Check::warn("credentials", message, &format!("chmod 600 {path}"))
    })
}
