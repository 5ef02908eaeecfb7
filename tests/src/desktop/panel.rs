//! A real panel whose system tray is a host of `StatusNotifier` items.
//!
//! It must not show anything besides, so that what is in it is what a test put there.
//! Where to read next: `desktop`.

use std::fs;

use super::Desktop;
use crate::process::until;

/// One panel along the top, with one plugin.
const SETTINGS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="28"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
  </property>
</channel>
"#;
/// Who knows the items of a tray.
pub(super) const WATCHER: &str = "org.kde.StatusNotifierWatcher";

impl Desktop<'_> {
    /// A panel along the top of the screen, 28 pixels high, with a tray.
    pub fn panel(&self) {
        let folder = self.home.config("xfce4/xfconf/xfce-perchannel-xml");
        fs::create_dir_all(&folder).expect("a new folder");
        fs::write(folder.join("xfce4-panel.xml"), SETTINGS).expect("written");
        self.run("xfce4-panel", &["--disable-wm-check"]);
        self.until_owned(WATCHER);
    }

    /// Starts the panel again after it has ended.
    pub fn panel_again(&self) {
        self.run("xfce4-panel", &["--disable-wm-check"]);
        self.until_owned(WATCHER);
    }

    /// Ends the panel, as if it had crashed or been logged out of, and starts it again.
    pub fn restart_panel(&self) {
        self.end("xfce4-panel");
        until("the old panel has gone", || (!self.bus().is_owned(WATCHER)).then_some(()));
        self.panel_again();
    }
}
