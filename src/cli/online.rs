//! Asks the providers of a folder's channels whether they would send. Nothing is sent.

use futures_util::{StreamExt as _, stream};

use crate::{
    channels::Examined,
    connectors::connector,
    domain::{
        channel::ChannelSpec,
        desired::DesiredResource,
        id::ChannelName,
        kind::Way,
        place::Place,
        resource::{Resource, ResourceKey},
    },
    executor::Connector,
    manifest::{Code, Diagnostic, Loaded},
};

/// Providers that are asked at once: a folder of a thousand channels is no reason to be throttled.
const ASKED_AT_ONCE: usize = 8;

pub(super) async fn examine(loaded: &Loaded) -> anyhow::Result<Vec<Diagnostic>> {
    let connector = &connector(None, None)?;
    let channels: Vec<_> = loaded.desired.resources.iter().filter_map(channel).collect();
    let examined = stream::iter(channels)
        .map(|(name, spec, place)| one(connector, name, spec, place))
        .buffer_unordered(ASKED_AT_ONCE);
    Ok(examined.filter_map(|found| async { found }).collect().await)
}

fn channel<'a>(
    (key, resource): (&'a ResourceKey, &'a DesiredResource),
) -> Option<(ChannelName, &'a ChannelSpec, &'a Place)> {
    let Resource::Channel(spec) = &resource.resource else { return None };
    // Of what is hosted here, nobody is asked.
    let name = key.name.parse().ok()?;
    (spec.kind.facts().way == Way::Provider)
        .then(|| (name, spec, resource.places.of("credentials")))
}

async fn one(
    connector: &Connector,
    name: ChannelName,
    spec: &ChannelSpec,
    place: &Place,
) -> Option<Diagnostic> {
    let driver = match connector.connect(&name, spec) {
        Ok(driver) => driver,
        Err(why) => {
            let message = format!("channel `{name}` was not examined: {why}");
            return Some(Diagnostic::warning(Code::NotExamined, place.clone(), 1, message));
        }
    };
    match driver.examine().await {
        Examined::InOrder => None,
        Examined::Refused(why) => {
            let message = format!("channel `{name}` would send nothing: {why}");
            Some(Diagnostic::error(Code::ChannelRefused, place.clone(), 1, message))
        }
        Examined::Unknown(why) => {
            let message = format!("channel `{name}` was not examined: {why}");
            Some(Diagnostic::warning(Code::NotExamined, place.clone(), 1, message))
        }
    }
}
