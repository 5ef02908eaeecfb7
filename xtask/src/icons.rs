//! `cargo xtask icons`: renders the pictures in `icons/` from their drawings.
//!
//! The results are committed, so that a build needs no renderer. It must not draw anything itself.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::cargo::{program, root};
use crate::system::{self, RSVG};

/// The lamp's shapes.
const SHAPES: [&str; 4] = ["lit", "half", "alert", "hollow"];
/// What is written where: the style of the shape, by the panel it stands on. macOS takes a template
/// in black and colours it itself.
const PANELS: [(&str, &str); 4] = [
    ("light", "fill: #24292f"),
    ("dark", "fill: #ffffff"),
    // Seen on both (4:1 on white, 5:1 on black): where nothing says which of the two a panel is.
    ("any", "fill: #7a828c"),
    ("template", "fill: #000000"),
];
/// Hosts scale it to the panel; this is enough for the largest.
const TRAY_SIZE: u32 = 64;
/// The app's own picture, in the sizes that bundles want.
const APP: [(&str, u32); 4] =
    [("32x32.png", 32), ("128x128.png", 128), ("128x128@2x.png", 256), ("icon.png", 512)];
/// The sizes in the Windows icon, in pixels.
const ICO: [u32; 4] = [16, 32, 48, 256];
/// The sizes in the macOS icon, with the names that its format has for them.
const ICNS: [(&[u8; 4], u32); 4] = [(b"ic11", 32), (b"ic07", 128), (b"ic08", 256), (b"ic09", 512)];

/// Renders all of them.
pub(crate) fn run(install: bool) -> Result<bool> {
    system::ensure(&[&RSVG], install)?;
    let icons = root().join("icons");
    for shape in SHAPES {
        let drawing = icons.join("tray").join(format!("{shape}.svg"));
        for (panel, style) in PANELS {
            let picture = render(&drawing, TRAY_SIZE, Some(style))?;
            fs::write(icons.join("tray").join(format!("{shape}-{panel}.png")), picture)?;
        }
    }
    let app = icons.join("app");
    let drawing = app.join("lamplighter.svg");
    for (name, size) in APP {
        fs::write(app.join(name), render(&drawing, size, None)?)?;
    }
    fs::write(app.join("icon.ico"), ico(&drawing)?)?;
    fs::write(app.join("icon.icns"), icns(&drawing)?)?;
    Ok(true)
}

/// One drawing as PNG, in one style where one is given.
fn render(drawing: &Path, size: u32, style: Option<&str>) -> Result<Vec<u8>> {
    let size = size.to_string();
    let mut command = program("rsvg-convert", &["-w", &size, "-h", &size]);
    let styles = tempfile::NamedTempFile::new()?;
    if let Some(style) = style {
        fs::write(&styles, format!("path {{ {style}; }}"))?;
        command.arg("--stylesheet").arg(styles.path());
    }
    let output = command.arg(drawing).output().context("cannot start rsvg-convert")?;
    if !output.status.success() {
        bail!("rsvg-convert failed on {}", drawing.display());
    }
    Ok(output.stdout)
}

/// A Windows icon: a table, then PNG files.
fn ico(drawing: &Path) -> Result<Vec<u8>> {
    let pictures = ICO.map(|size| render(drawing, size, None));
    let mut table = vec![0, 0, 1, 0];
    table.extend(u16::try_from(ICO.len())?.to_le_bytes());
    let mut files: Vec<u8> = Vec::new();
    let first = 6 + 16 * ICO.len();
    for (size, picture) in ICO.into_iter().zip(pictures) {
        let picture = picture?;
        // 256 is written as 0.
        let side = u8::try_from(size).unwrap_or(0);
        table.extend([side, side, 0, 0, 1, 0, 32, 0]);
        table.extend(u32::try_from(picture.len())?.to_le_bytes());
        table.extend(u32::try_from(first + files.len())?.to_le_bytes());
        files.extend(picture);
    }
    table.extend(files);
    Ok(table)
}

/// A macOS icon: PNG files, each with a name and a length.
fn icns(drawing: &Path) -> Result<Vec<u8>> {
    let mut blocks = Vec::new();
    for (name, size) in ICNS {
        let picture = render(drawing, size, None)?;
        blocks.extend(name);
        blocks.extend(u32::try_from(picture.len() + 8)?.to_be_bytes());
        blocks.extend(picture);
    }
    let mut file = b"icns".to_vec();
    file.extend(u32::try_from(blocks.len() + 8)?.to_be_bytes());
    file.extend(blocks);
    Ok(file)
}
