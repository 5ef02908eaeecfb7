//! `lamplighter settings`: what is set, from a terminal. It looks at nothing but the settings file.
//!
//! A keeper that runs hears of a change by itself, within a second.

use lamplighter_core::health::EXIT_FINE;
use lamplighter_engine::{
    open::OpenFault,
    paths::{Env, Paths},
    settings::keys,
};

use crate::{EXIT_OTHER, EXIT_USAGE, args::SettingsCommand};

/// Does it. `get` ends with 1 where a setting has no value.
pub(crate) fn run(env: &Env, command: &SettingsCommand) -> anyhow::Result<u8> {
    let paths = Paths::find(env).map_err(OpenFault::from)?;
    let file = &paths.settings;
    match command {
        SettingsCommand::Path => {
            outln!("{}", file.display());
            Ok(EXIT_FINE)
        }
        SettingsCommand::Get(args) => {
            let settings = keys::in_effect(file, env)?;
            let Some(key) = &args.key else {
                let settings = keys::without_secrets(settings);
                if args.json {
                    outln!("{}", serde_json::to_string_pretty(&settings)?);
                } else {
                    for (key, value) in keys::flat(&settings) {
                        outln!("{key} = {value}");
                    }
                }
                return Ok(EXIT_FINE);
            };
            if let Some((_, value)) =
                keys::flat(&settings).into_iter().find(|(name, _)| name == key)
            {
                // A text as it is, so that a script can use it.
                match value.as_str().filter(|_| !args.json) {
                    Some(text) => outln!("{text}"),
                    None if args.json => outln!("{}", serde_json::to_string(value)?),
                    None => outln!("{value}"),
                }
                return Ok(EXIT_FINE);
            }
            if keys::is_known(&settings, key) {
                errln!("lamplighter: {key} is not set");
                return Ok(EXIT_OTHER);
            }
            errln!("lamplighter: there is no setting {key}; `lamplighter settings get` lists them");
            Ok(EXIT_USAGE)
        }
        SettingsCommand::Set(args) => {
            paths.check(env).map_err(OpenFault::from)?;
            keys::set(file, env, &args.key, &args.values)?;
            Ok(EXIT_FINE)
        }
    }
}
