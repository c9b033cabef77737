//! The tasks folder: there, readable, valid, and known to editors.

use std::{collections::BTreeSet, path::Path};

use super::check::Check;
use crate::{
    cli::{
        failure::Failure,
        findings::{Review, counted},
    },
    domain::{
        id::ChannelName,
        kind::Way,
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

/// Whether somebody listens for the channels that nuncio hosts itself; nothing, where no task uses one.
pub(super) fn hosting(loaded: &Loaded, listens: bool) -> Option<Check> {
    let is_hosted = |name: &ChannelName| {
        let found = loaded.desired.resources.get(&ResourceKey::channel(name));
        found.is_some_and(|found| match &found.resource {
            Resource::Channel(spec) => spec.kind.facts().way == Way::Hosted,
            _ => false,
        })
    };
    let used = loaded.desired.tasks.values().flat_map(|task| &task.spec.channels);
    let hosted: BTreeSet<&ChannelName> = used.filter(|name| is_hosted(name)).collect();
    let first = hosted.first()?;
    Some(if listens {
        Check::ok("hosting", format!("{} to be served", counted(hosted.len(), "channel")))
    } else {
        Check::warn(
            "hosting",
            format!("nobody would reach {} such as `{first}`", counted(hosted.len(), "channel")),
            "give `nuncio watch` --listen ADDRESS, or set NUNCIO_LISTEN; a rehearsal needs neither",
        )
    })
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
        let channel = "apiVersion: nuncio/v1\nkind: Channel\nmetadata: {name: site}\n\
            spec: {kind: page-messenger}\n";
        assert!(hosting(&load_text("a.yaml", channel), false).is_none());
        let manager = "apiVersion: nuncio/v1\nkind: Manager\nmetadata: {name: anna}\n\
            spec: {fullName: Anna, persona: x}\n";
        let ai = "apiVersion: nuncio/v1\nkind: Ai\nmetadata: {name: sales}\n\
            spec: {model: m, instructions: x, prices: {inputPerMillionTokens: 1, outputPerMillionTokens: 1}, \
            disclosure: x}\n";
        let task = "apiVersion: nuncio/v1\nkind: Task\nmetadata: {name: web}\n\
            spec: {type: web, format: incoming, channels: [site], managers: [anna], ai: sales, \
            spendingLimitPerDialogue: 1}\n";
        let loaded = load_text("a.yaml", &[channel, manager, ai, task].join("---\n"));
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let check = hosting(&loaded, false).unwrap();
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.message.contains("`site`"), "{check:?}");
        assert_eq!(hosting(&loaded, true).unwrap().verdict, Verdict::Ok);
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
