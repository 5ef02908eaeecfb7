//! What is to be seen on the screen of a desktop, and clicks on it.
//!
//! It must not move anything but the pointer. Where to read next: `desktop`.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path};

use super::Desktop;
use crate::peers;

/// In pixels: the screen's width and height.
pub const SIZE: (usize, usize) = (1280, 800);

/// A part of the screen, in pixels from its left upper corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins: from the left, from the top.
    pub at: (usize, usize),
    /// Its width and height.
    pub size: (usize, usize),
}

/// What is to be seen in a part of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    part: Part,
    /// Red, green and blue of each pixel, row by row.
    pub pixels: Vec<[u8; 3]>,
}

impl Part {
    /// The whole screen.
    pub const ALL: Self = Self { at: (0, 0), size: SIZE };
}

impl Desktop<'_> {
    /// What is to be seen now.
    pub fn look(&self, part: Part) -> Picture {
        let ((x, y), (width, height)) = (part.at, part.size);
        let crop = format!("{width}x{height}+{x}+{y}");
        let args = ["-window", "root", "-crop", &crop, "-depth", "8", "rgb:-"];
        let bytes = self.tool_bytes("import", &args).expect("a picture of the screen");
        let pixels = bytes.as_chunks::<3>().0.to_vec();
        assert_eq!(pixels.len(), width * height, "of {part:?}");
        Picture { part, pixels }
    }

    /// Clicks here, with this button: 1 is the left one.
    pub fn click(&self, (x, y): (usize, usize), button: u8) {
        let (x, y, button) = (x.to_string(), y.to_string(), button.to_string());
        let clicked = self.tool("xdotool", &["mousemove", &x, &y, "click", &button]);
        assert!(clicked.is_some(), "no click at {x}, {y}");
    }

    /// A picture of the whole screen, as PNG.
    pub fn screenshot(&self, file: &Path) {
        assert!(self.has_drawn(file), "no picture in {}", file.display());
    }

    /// Leaves a picture of the screen in `target/pictures` if the test has failed, and what the
    /// desktop's programs printed; the first one counts, as afterwards there is ever less to see.
    pub fn picture_of_a_failure(&self) {
        if !std::thread::panicking() || self.pictured.replace(true) {
            return;
        }
        let test = std::thread::current().name().unwrap_or("a test").replace("::", "-");
        let file = peers::pictures().join(test).with_extension("png");
        let mut err = std::io::stderr().lock();
        if self.has_drawn(&file) {
            let _ = writeln!(err, "the screen: {}", file.display());
        }
        for log in fs::read_dir(self.home().run("log")).into_iter().flatten().flatten() {
            let said = fs::read_to_string(log.path()).unwrap_or_default();
            if !said.is_empty() {
                let _ = writeln!(err, "{}:\n{said}", log.file_name().display());
            }
        }
    }

    fn has_drawn(&self, file: &Path) -> bool {
        let file = format!("png:{}", file.display());
        self.tool("import", &["-window", "root", &file]).is_some()
    }
}

impl Picture {
    /// How many colours there are.
    pub fn colours(&self) -> usize {
        self.pixels.iter().collect::<BTreeSet<_>>().len()
    }

    /// Where on the screen this colour is: in the middle of all of it. Nothing where it is not.
    pub fn find(&self, colour: [u8; 3]) -> Option<(usize, usize)> {
        let ((left, top), (width, _)) = (self.part.at, self.part.size);
        let all = self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel == colour);
        let (xs, ys): (BTreeSet<_>, BTreeSet<_>) =
            all.map(|(place, _)| (place % width, place / width)).unzip();
        let middle = |all: BTreeSet<usize>| Some((all.first()? + all.last()?) / 2);
        Some((left + middle(xs)?, top + middle(ys)?))
    }
}
