//! Notices: a real daemon that shows them, and what is said of them on the bus.
//!
//! It must not show any itself. Where to read next: `desktop`; the freedesktop.org text "Desktop
//! Notifications Specification".

use std::{fs, sync::PoisonError};

use serde_json::Value;

use super::{Desktop, screen::SIZE};
use crate::{
    bus::{Heard, body_of},
    home::write_program,
    process::until,
};

const DAEMON: &str = "org.freedesktop.Notifications";
const PLACE: &str = "/org/freedesktop/Notifications";
/// What is said of notices, and the answers, which hold their numbers.
const RULES: [&str; 2] = ["interface='org.freedesktop.Notifications'", "type='method_return'"];
/// They stay until the test closes them, in a corner that it knows. `CHOOSER` presses buttons.
const SETTINGS: &str = "[global]
timeout = 0
idle_threshold = 0
origin = bottom-right
offset = 10x10
width = 400
mouse_left_click = do_action, close_current
dmenu = CHOOSER
[urgency_low]
timeout = 0
[urgency_normal]
timeout = 0
";
/// Reads the daemon's list of buttons and prints the one that the test has written down.
const CHOOSER: &str = "#!/bin/sh\ngrep -F -m 1 -- \"#$(cat \"$0.wanted\")\"\n";

/// A notice as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What the daemon calls it, once it has taken it in.
    pub id: Option<u64>,
    /// Who sent it.
    pub application: String,
    /// The notice that it replaces; 0 for none.
    pub replaces: u64,
    /// Its first line.
    pub summary: String,
    /// The rest.
    pub body: String,
    /// Its buttons: a name, and what is written there. `default` is a click on the notice itself.
    pub actions: Vec<(String, String)>,
    /// Everything else that the daemon was told.
    pub hints: Value,
    /// The buttons that were pressed.
    pub pressed: Vec<String>,
    /// Whether it has been closed, by anybody.
    pub closed: bool,
}

/// All that is said of notices from now on.
#[derive(Debug)]
pub struct Notices {
    heard: Heard,
}

impl Desktop<'_> {
    /// Listens to what is said of notices, whoever shows them.
    pub fn listen_for_notices(&self) -> Notices {
        Notices { heard: self.bus().listen(&RULES) }
    }

    /// Shows notices as they come, until they are closed.
    pub fn notices(&self) {
        let chooser = self.home().run("chooser");
        write_program(&chooser, CHOOSER);
        let file = self.home().run("dunstrc");
        let settings = SETTINGS.replace("CHOOSER", &chooser.display().to_string());
        fs::write(&file, settings).expect("written");
        self.run("dunst", &["-conf", &file.display().to_string()]);
        self.until_owned(DAEMON);
    }

    /// Clicks on the notice on the screen; there must be one, not more.
    pub fn click_on_the_notice(&self) {
        self.click((SIZE.0 - 10 - 200, SIZE.1 - 10 - 15), 1);
    }

    /// Presses the button with these words on any notice that is shown.
    pub fn press_on_a_notice(&self, words: &str) {
        fs::write(self.home().run("chooser.wanted"), words).expect("written");
        let asked = self.bus().call(DAEMON, PLACE, "org.dunstproject.cmd0", "ContextMenuCall", &());
        assert!(asked.is_ok(), "{asked:?}");
    }
}

impl Notices {
    /// All that there were, oldest first.
    pub fn all(&self) -> Vec<Notice> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Who asked with which serial number is who is answered.
        let mut asked = Vec::new();
        let mut notices: Vec<Notice> = Vec::new();
        for message in heard {
            let header = message.header();
            let body = body_of(&message);
            let of = |notice: &&mut Notice| notice.id.is_some() && notice.id == body[0].as_u64();
            match header.member().map_or("", |name| name.as_str()) {
                "Notify" => {
                    let serial = Some(message.primary_header().serial_num());
                    asked.push((header.sender().map(ToString::to_string), serial));
                    notices.push(Notice::told(&body));
                }
                "NotificationClosed" => {
                    notices.iter_mut().filter(of).for_each(|notice| notice.closed = true);
                }
                "ActionInvoked" => {
                    let pressed = body[1].as_str().unwrap_or_default();
                    let those = notices.iter_mut().filter(of);
                    those.for_each(|notice| notice.pressed.push(pressed.to_owned()));
                }
                _ => {
                    let to = header.destination().map(ToString::to_string);
                    let place = asked
                        .iter()
                        .position(|(who, serial)| *serial == header.reply_serial() && *who == to);
                    if let Some(notice) = place.and_then(|place| notices.get_mut(place)) {
                        notice.id = body[0].as_u64();
                    }
                }
            }
        }
        notices
    }

    /// The first one of which this holds, once there is one.
    pub fn until(&self, what: &str, holds: impl Fn(&Notice) -> bool) -> Notice {
        until(what, || self.all().into_iter().find(&holds))
    }
}

impl Notice {
    fn told(body: &Value) -> Self {
        let text = |index: usize| body[index].as_str().unwrap_or_default().to_owned();
        let words: Vec<String> = body[5]
            .as_array()
            .into_iter()
            .flatten()
            .map(|word| word.as_str().unwrap_or_default().to_owned())
            .collect();
        let pairs = words.as_chunks::<2>().0.iter();
        Self {
            id: None,
            application: text(0),
            replaces: body[1].as_u64().unwrap_or_default(),
            summary: text(3),
            body: text(4),
            actions: pairs.map(|[name, words]| (name.clone(), words.clone())).collect(),
            hints: body[6].clone(),
            pressed: Vec::new(),
            closed: false,
        }
    }
}
