//! `cargo xtask sizes`: how large the code is, and where its structure is hard to read.
//!
//! It reads the sources as text, in the form that rustfmt gives them: an item ends at the first closing
//! brace that stands where its first line began. It must not assert anything; a reader judges.
//! Where to read next: `source` for how a file is read, `circles` for imports that go round.

mod circles;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use source::{Function, SourceFile};

/// The folders of production code, each with the name it is counted under.
const CRATES: &[(&str, &str)] = &[
    ("core", "src-tauri/crates/core/src"),
    ("engine", "src-tauri/crates/engine/src"),
    ("cli", "src-tauri/crates/cli/src"),
    ("rehearsal", "src-tauri/crates/rehearsal/src"),
    ("tray", "src-tauri/src"),
    ("xtask", "xtask/src"),
];
/// A file over this many lines is named.
const LONG_FILE: usize = 400;
/// A function over this many lines is named, unless it is a table.
const LONG_FUNCTION: usize = 60;
/// The type whose methods are counted.
const COORDINATOR: &str = "Keeper";

/// Prints every figure.
pub(crate) fn run() -> Result<bool> {
    let mut all = Vec::new();
    for (name, folder) in CRATES {
        all.push((*name, source::read(Path::new(folder))?));
    }
    lines(&all);
    long_files(&all);
    long_functions(&all);
    methods(&all);
    shared_names(&all);
    for (name, files) in &all {
        circles::print(name, files);
    }
    Ok(true)
}

type Crates = [(&'static str, Vec<SourceFile>)];

fn lines(all: &Crates) {
    let of = |files: &[SourceFile]| files.iter().map(|file| file.lines.len()).sum::<usize>();
    outln!("production lines: {}", all.iter().map(|(_, files)| of(files)).sum::<usize>());
    for (name, files) in all {
        outln!("  {:>6}  {name}, {} files", of(files), files.len());
    }
}

fn long_files(all: &Crates) {
    let files = all.iter().flat_map(|(_, files)| files);
    let mut long: Vec<_> = files.filter(|file| file.lines.len() > LONG_FILE).collect();
    long.sort_by_key(|file| std::cmp::Reverse(file.lines.len()));
    outln!("files over {LONG_FILE} lines: {}", long.len());
    for file in long {
        outln!("  {:>6}  {}", file.lines.len(), file.path.display());
    }
}

fn long_functions(all: &Crates) {
    let mut lengths = Vec::new();
    let mut long = Vec::new();
    for file in all.iter().flat_map(|(_, files)| files) {
        for function in file.functions() {
            lengths.push(function.lines);
            if function.lines > LONG_FUNCTION && !function.is_table {
                long.push((file, function));
            }
        }
    }
    lengths.sort_unstable();
    long.sort_by_key(|(_, function)| std::cmp::Reverse(function.lines));
    let at = |share: usize| lengths.get(lengths.len() * share / 100).copied().unwrap_or(0);
    outln!("functions: {}, median {} lines, 90 % under {}", lengths.len(), at(50), at(90) + 1);
    outln!("functions over {LONG_FUNCTION} lines that are not tables: {}", long.len());
    for (file, Function { name, lines, line, .. }) in long {
        outln!("  {lines:>6}  {name} ({}:{line})", file.path.display());
    }
}

fn methods(all: &Crates) {
    let mut count = 0;
    let mut files = 0;
    for file in all.iter().flat_map(|(_, files)| files) {
        let here = file.methods_of(COORDINATOR);
        count += here;
        files += usize::from(here > 0);
    }
    outln!("methods on {COORDINATOR}: {count}, in {files} files");
}

/// Types of one crate that share a name.
fn shared_names(all: &Crates) {
    let mut shared = Vec::new();
    for (name, files) in all {
        let mut places = BTreeMap::<String, Vec<String>>::new();
        for file in files {
            for defined in file.types() {
                places.entry(defined).or_default().push(file.module.join("::"));
            }
        }
        shared.extend(
            places
                .into_iter()
                .filter(|(_, places)| places.len() > 1)
                .map(|(defined, places)| format!("{name}: {defined} ({})", places.join(", "))),
        );
    }
    outln!("type names with two meanings in one crate: {}", shared.len());
    for line in shared {
        outln!("  {line}");
    }
}
