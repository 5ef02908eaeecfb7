//! One source file as lines, and what stands in it: functions, types, methods, imports.
//!
//! Tests are left out: files and folders that are named so, and modules behind `#[cfg(test)]`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A file's production lines.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    /// Its module, from the crate's root: `["keeper", "plan"]`.
    pub(crate) module: Vec<String>,
    pub(crate) lines: Vec<String>,
}

/// A function as it stands in a file.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its signature, from 1.
    pub(crate) line: usize,
    /// From its signature to its closing brace.
    pub(crate) lines: usize,
    /// Whether it is one long list of arms: a match that is read from top to bottom.
    pub(crate) is_table: bool,
}

/// Every production file below `folder`, in the order of their paths.
pub(crate) fn read(folder: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    collect(folder, &mut Vec::new(), &mut files)
        .with_context(|| format!("reading {}", folder.display()))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(folder: &Path, module: &mut Vec<String>, files: &mut Vec<SourceFile>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let Some(stem) = stem.filter(|stem| stem != "tests") else { continue };
        if path.is_dir() {
            module.push(stem);
            collect(&path, module, files)?;
            module.pop();
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path)?;
            let mut own = module.clone();
            if !matches!(stem.as_str(), "mod" | "lib" | "main") {
                own.push(stem);
            }
            files.push(SourceFile { path, module: own, lines: production(&text) });
        }
    }
    Ok(())
}

/// The lines before the module of tests.
fn production(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", module] if module.starts_with("mod ") && module.ends_with('{'));
    let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
    lines[..end].iter().map(|line| (*line).to_owned()).collect()
}

impl SourceFile {
    /// The functions, each with its length.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let starts = self
            .lines
            .iter()
            .enumerate()
            .filter_map(|(at, line)| Some((at, function_name(line)?.to_owned())));
        starts
            .filter_map(|(at, name)| {
                let end = self.end_of(at)?;
                let body = &self.lines[at..=end];
                let arms = body.iter().filter(|line| line.contains("=>")).count();
                Some(Function {
                    name,
                    line: at + 1,
                    lines: body.len(),
                    is_table: arms * 4 >= body.len(),
                })
            })
            .collect()
    }

    /// How many functions stand in `impl` blocks of this type itself.
    pub(crate) fn methods_of(&self, name: &str) -> usize {
        let block = format!("impl {name} {{");
        let starts = self.lines.iter().enumerate().filter(|(_, line)| **line == block);
        let ends = starts.filter_map(|(at, _)| Some((at, self.end_of(at)?)));
        ends.map(|(at, end)| {
            self.lines[at..=end].iter().filter(|line| function_name(line).is_some()).count()
        })
        .sum()
    }

    /// The names of structs, enums, traits and aliases that the file defines at any depth.
    pub(crate) fn types(&self) -> Vec<String> {
        self.lines.iter().filter_map(|line| type_name(line)).map(str::to_owned).collect()
    }

    /// The line where the item ends that begins at `at`; `None` for one without a body.
    fn end_of(&self, at: usize) -> Option<usize> {
        let indent = indent(&self.lines[at]);
        for (further, line) in self.lines[at..].iter().enumerate() {
            if self::indent(line) != indent || line.is_empty() {
                continue;
            }
            let rest = line.trim_start();
            if rest.starts_with('}') || (further == 0 && rest.ends_with('}')) {
                return Some(at + further);
            }
            if rest.ends_with(';') {
                return None;
            }
        }
        None
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn function_name(line: &str) -> Option<&str> {
    let rest = without_words(line, &["pub", "const", "async", "unsafe", "extern"]);
    named(rest.strip_prefix("fn ")?)
}

fn type_name(line: &str) -> Option<&str> {
    // An associated type is no type of its own.
    let rest = without_words(line, &["pub"]);
    let rest =
        ["struct ", "enum ", "trait ", "union "].iter().find_map(|word| rest.strip_prefix(word));
    let alias = without_words(line, &["pub"]).strip_prefix("type ").filter(|_| indent(line) == 0);
    named(rest.or(alias)?)
}

/// The line without the words that may stand before an item.
fn without_words<'l>(line: &'l str, words: &[&str]) -> &'l str {
    let mut rest = line.trim_start();
    loop {
        let Some(word) = words.iter().find(|word| rest.starts_with(**word)) else { return rest };
        let after = &rest[word.len()..];
        let after = match after.strip_prefix('(') {
            Some(inside) => inside.split_once(')').map_or(after, |(_, after)| after),
            None => after,
        };
        let Some(next) = after.strip_prefix(' ') else { return rest };
        rest = next;
    }
}

fn named(rest: &str) -> Option<&str> {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> SourceFile {
        SourceFile {
            path: PathBuf::from("a.rs"),
            module: vec!["a".to_owned()],
            lines: production(text),
        }
    }

    #[test]
    fn a_function_ends_at_the_brace_below_its_first_line() {
        let file = file(
            "impl Keeper {\n    pub(crate) const fn one(\n        a: u8,\n    ) -> u8 {\n        if a {\n        }\n        1\n    }\n\n    fn two() {}\n}\ntrait T {\n    fn three();\n}\n",
        );
        let found: Vec<_> = file.functions().into_iter().map(|f| (f.name, f.lines)).collect();
        assert_eq!(found, [("one".to_owned(), 7), ("two".to_owned(), 1)]);
        assert_eq!(file.methods_of("Keeper"), 2);
    }

    #[test]
    fn what_stands_in_tests_is_left_out() {
        let file = file("struct A;\n#[cfg(test)]\nmod tests {\n    struct B;\n}\n");
        assert_eq!(file.types(), ["A"]);
    }

    #[test]
    fn an_alias_counts_and_an_associated_type_does_not() {
        let file = file(
            "pub type A = u8;\nimpl I for S {\n    type Item = u8;\n}\npub(super) enum E {\n}\n",
        );
        assert_eq!(file.types(), ["A", "E"]);
    }

    #[test]
    fn a_long_match_is_a_table() {
        let arms = "        A => 1,\n".repeat(6);
        let file = file(&format!("fn f() {{\n    match x {{\n{arms}    }}\n}}\n"));
        assert!(file.functions()[0].is_table);
    }
}
