//! `lamplighter sign-in URL`: a first sign-in, to a server that the client may not know yet.

use anyhow::{Context, bail};
use lamplighter_core::{
    commands,
    ids::{GrantId, StoreId},
    keeper::{NamedServer, Reconnect},
};
use lamplighter_engine::open::Place;

use crate::{args, reconnect};

/// Signs in; the exit code says whether that worked.
pub(crate) fn run(place: Place, args: &args::SignIn) -> anyhow::Result<u8> {
    let wanted = StoreId::from(args.client.as_str());
    let known: Vec<StoreId> = place.stores.iter().map(|store| store.info().id).collect();
    // A client's name alone means its usual store, which comes first, wherever that lies.
    let of_client = format!("{wanted}@");
    let usual = || known.iter().find(|id| id.as_str().starts_with(&of_client));
    let Some(id) = known.iter().find(|id| **id == wanted).or_else(usual).cloned() else {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        bail!("no client by the name of {wanted}; known: {}", known.join(", "));
    };
    let Some(store) = place.stores.iter().find(|store| store.info().id == id) else {
        bail!("no store by the name of {id}");
    };
    let client = store.info().client;
    let spot = store
        .spot(&args.name, &args.url)
        .with_context(|| format!("looking where {client} would keep {}", args.name))?;
    let (name, url) = (args.name.clone(), args.url.clone());
    let unknown = (!spot.configured).then(|| {
        let (name, url) = (commands::quoted(&name), commands::quoted(&url));
        format!("claude mcp add --transport http --scope user {name} {url}")
    });
    let wish = Reconnect {
        server: Some(NamedServer { store: id.clone(), key: spot.key, name: name.clone(), url }),
        ..Reconnect::of(GrantId::of(&id, &name))
    };
    reconnect::sign_in(place, &|_| Ok(wish.clone()), &args.way, unknown)
}
