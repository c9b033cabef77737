//! The tasks folder: there, readable, valid, and known to editors.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::check::Check;
use crate::{
    cli::{
        failure::Failure,
        findings::{Review, counted},
    },
    domain::{
        id::ChannelName,
        kind::{ChannelKind, Way},
        resource::{Resource, ResourceKey},
    },
    manifest::{self, Loaded},
};

/// The folder's checks, and what was read where it could be read.
pub(super) fn look(folder: &Path) -> (Vec<Check>, Option<Loaded>) {
    let mut loaded = match manifest::load(folder) {
        Ok(loaded) => loaded,
        Err(error) => {
            let Failure { message, hint, .. } = Failure::of_error(&error.into());
            return (vec![Check::fail("folder", message, &hint.unwrap_or_default())], None);
        }
    };
    let found = manifest::check_audiences(&loaded);
    loaded.diagnostics.extend(found);
    let checks = vec![folder_check(folder, &loaded), manifests(&loaded), schema_lines(&loaded)];
    (checks, Some(loaded))
}

fn folder_check(folder: &Path, loaded: &Loaded) -> Check {
    let folder = folder.display();
    match loaded.counts.files {
        0 => Check::warn(
            "folder",
            format!("`{folder}` has no manifest"),
            "write one, or name another folder with --tasks DIR",
        ),
        n => Check::ok("folder", format!("`{folder}` has {}", counted(n, "manifest file"))),
    }
}

fn manifests(loaded: &Loaded) -> Check {
    let review = Review::of_loaded("doctor", loaded);
    let (errors, warnings) = (review.n_errors(), review.n_warnings());
    let remedy = "`nuncio validate` shows each with its place";
    match (errors, warnings) {
        (0, 0) => {
            Check::ok("manifests", format!("{} valid", counted(review.n_documents, "document")))
        }
        (0, n) => {
            Check::warn("manifests", format!("valid, with {}", counted(n, "warning")), remedy)
        }
        (n, _) => Check::fail("manifests", counted(n, "error"), remedy),
    }
}

/// By its first line an editor completes and checks a manifest.
fn schema_lines(loaded: &Loaded) -> Check {
    let without: Vec<&str> = loaded
        .sources
        .files()
        .filter(|file| {
            let text = loaded.sources.text(file).unwrap_or_default();
            !text.lines().next().is_some_and(|line| line.starts_with(SCHEMA_LINE))
        })
        .map(AsRef::as_ref)
        .collect();
    if without.is_empty()
        && let Some((file, schema)) = loaded.sources.files().find_map(|file| {
            let line = loaded.sources.text(file)?.lines().next()?;
            let schema = line.strip_prefix(SCHEMA_LINE)?.trim();
            let is_elsewhere = schema.contains("://");
            let there = Path::new(&**file).parent()?.join(schema);
            (!is_elsewhere && !there.is_file()).then_some((file, schema))
        })
    {
        return Check::warn(
            "editor",
            format!("`{file}` names the schema `{schema}`, and there is no such file"),
            "`nuncio schema > FILE` writes it; the line names it from where the manifest is",
        );
    }
    match without.as_slice() {
        [] => Check::ok("editor", "every manifest names a schema that is there"),
        [first, ..] => Check::warn(
            "editor",
            format!(
                "{} without a schema line, such as `{first}`",
                counted(without.len(), "manifest file")
            ),
            "`nuncio schema > manifest.schema.json`, and begin each with \
             `# yaml-language-server: $schema=PATH`",
        ),
    }
}

const SCHEMA_LINE: &str = "# yaml-language-server: $schema=";

/// How the program is started on a server, as far as its environment says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) listens: bool,
    /// People reach it by HTTPS.
    pub(super) by_https: bool,
}

/// Whether somebody listens for the channels that nuncio hosts itself; nothing, where no task uses one.
pub(super) fn hosting(loaded: &Loaded, served: Served) -> Option<Check> {
    let kind_of = |name: &ChannelName| {
        let found = loaded.desired.resources.get(&ResourceKey::channel(name));
        found.and_then(|found| match &found.resource {
            Resource::Channel(spec) => Some(spec.kind),
            _ => None,
        })
    };
    let used = loaded.desired.tasks.values().flat_map(|task| &task.spec.channels);
    let used = used.filter_map(|name| Some((name, kind_of(name)?)));
    let hosted: BTreeMap<&ChannelName, ChannelKind> =
        used.filter(|(_, kind)| kind.facts().way == Way::Hosted).collect();
    let (first, _) = hosted.first_key_value()?;
    if !served.listens {
        return Some(Check::warn(
            "hosting",
            format!("nobody would reach {} such as `{first}`", counted(hosted.len(), "channel")),
            "give `nuncio watch` --listen ADDRESS, or set NUNCIO_LISTEN; a rehearsal needs neither",
        ));
    }
    let embedded = hosted.iter().find(|(_, kind)| kind.is_embedded());
    if let Some((name, _)) = embedded.filter(|_| !served.by_https) {
        return Some(Check::warn(
            "hosting",
            format!("no site on HTTPS could embed `{name}`"),
            "put a proxy with TLS before the server, and give `nuncio watch` --public-url https://…, or set \
             NUNCIO_PUBLIC_URL",
        ));
    }
    Some(Check::ok("hosting", format!("{} to be served", counted(hosted.len(), "channel"))))
}

/// The time zones that the tasks are bound to.
pub(super) fn zones(loaded: &Loaded) -> Vec<String> {
    let outgoing = loaded.desired.tasks.values().filter_map(|task| task.spec.outgoing.as_ref());
    let zones: BTreeSet<String> = outgoing.map(|outgoing| outgoing.timezone.to_string()).collect();
    zones.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::doctor::Verdict, manifest::load_text};

    #[test]
    fn a_channel_that_nobody_serves_is_named() {
        let manager = "apiVersion: nuncio/v1\nkind: Manager\nmetadata: {name: anna}\n\
            spec: {fullName: Anna, persona: x}\n";
        let ai = "apiVersion: nuncio/v1\nkind: Ai\nmetadata: {name: sales}\n\
            spec: {model: m, instructions: x, prices: {inputPerMillionTokens: 1, outputPerMillionTokens: 1}, \
            disclosure: x}\n";
        let task = "apiVersion: nuncio/v1\nkind: Task\nmetadata: {name: web}\n\
            spec: {type: web, format: incoming, channels: [site], managers: [anna], ai: sales, \
            spendingLimitPerDialogue: 1}\n";
        let channel = |spec: &str| {
            format!(
                "apiVersion: nuncio/v1\nkind: Channel\nmetadata: {{name: site}}\nspec: {{{spec}}}\n"
            )
        };
        let page = channel("kind: page-messenger");
        let widget = channel("kind: widget, allowedOrigins: ['https://shop.example']");
        let [no, http, https] = [(false, true), (true, false), (true, true)]
            .map(|(listens, by_https)| Served { listens, by_https });
        assert!(hosting(&load_text("a.yaml", &page), no).is_none());
        for (channel, served, verdict) in [
            (&page, no, Verdict::Warn),
            (&page, http, Verdict::Ok),
            (&page, https, Verdict::Ok),
            (&widget, no, Verdict::Warn),
            (&widget, http, Verdict::Warn),
            (&widget, https, Verdict::Ok),
        ] {
            let loaded = load_text("a.yaml", &[channel.as_str(), manager, ai, task].join("---\n"));
            assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
            let check = hosting(&loaded, served).unwrap();
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert_eq!(check.message.contains("`site`"), verdict == Verdict::Warn, "{check:?}");
        }
    }

    #[test]
    fn a_manifest_without_a_schema_line_is_named() {
        let with = format!("{SCHEMA_LINE}https://example.org/x.json\nkind: Tsak\n");
        assert_eq!(schema_lines(&load_text("a.yaml", &with)).verdict, Verdict::Ok);
        let gone = format!("{SCHEMA_LINE}x.json\nkind: Tsak\n");
        let check = schema_lines(&load_text("a.yaml", &gone));
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.message.contains("names the schema `x.json`"), "{check:?}");
        let check = schema_lines(&load_text("a.yaml", "kind: Tsak\n"));
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.message.contains("`a.yaml`"), "{check:?}");
    }
}
