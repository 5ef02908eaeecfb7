//! A macOS app around a program that was just built: without one there are no links and no notices.
//!
//! It is for trying out, not for handing on: releases are bundled by tauri's own command line.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cargo::{self, program, root};

const INFO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>CFBundleExecutable</key><string>lamplighter-tray</string>
  <key>CFBundleIconFile</key><string>icon</string>
  <key>CFBundleIdentifier</key><string>dev.lamplighter</string>
  <key>CFBundleName</key><string>Lamplighter</string>
  <key>CFBundlePackageType</key><string>APPL</string>
  <key>CFBundleShortVersionString</key><string>0.1.0</string>
  <key>LSUIElement</key><true/>
  <key>CFBundleURLTypes</key>
  <array>
    <dict>
      <key>CFBundleURLName</key><string>dev.lamplighter</string>
      <key>CFBundleURLSchemes</key><array><string>dev.lamplighter</string></array>
    </dict>
  </array>
</dict>
</plist>
"#;

/// Puts the program into an app beside it, and opens that.
pub(crate) fn open(built: &Path, args: &[&str]) -> Result<bool> {
    let folder = built.parent().context("the program lies nowhere")?.join("Lamplighter.app");
    let contents = folder.join("Contents");
    fs::create_dir_all(contents.join("MacOS"))?;
    fs::create_dir_all(contents.join("Resources"))?;
    fs::write(contents.join("Info.plist"), INFO)?;
    fs::copy(root().join("icons/app/icon.icns"), contents.join("Resources/icon.icns"))?;
    fs::copy(built, contents.join("MacOS/lamplighter-tray"))?;
    let mut opener = program("open", &["-W"]);
    opener.arg(&folder);
    if !args.is_empty() {
        opener.arg("--args").args(args);
    }
    outln!("Lamplighter's icon is in your menu bar; Quit in its menu ends it.");
    cargo::succeeds(&mut opener)
}
