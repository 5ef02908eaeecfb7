//! Imports that go round: modules of one parent that need each other.
//!
//! A path from one module into another counts between the two children of their nearest common parent
//! that they lie in. What a child takes from its parents, or a parent from its children, counts
//! nothing: Rust's modules are made for that.

use std::collections::{BTreeMap, BTreeSet};

use super::source::SourceFile;

/// Which child of a module needs which other child, by the parent's path.
type Needs = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

/// Prints each group of modules that need each other.
pub(crate) fn print(name: &str, files: &[SourceFile]) {
    let mut found = Vec::new();
    for (parent, needs) in needs(files) {
        for group in groups(&needs) {
            let place = if parent.is_empty() { name.to_owned() } else { parent.join("::") };
            found.push(format!("  {place}: {}", group.join(" ↔ ")));
        }
    }
    outln!("circles between modules of {name}: {}", found.len());
    for line in found {
        outln!("{line}");
    }
}

fn needs(files: &[SourceFile]) -> Needs {
    let modules: BTreeSet<&[String]> = files.iter().map(|file| file.module.as_slice()).collect();
    let mut needs = Needs::new();
    for file in files {
        for path in named(file) {
            // The longest beginning of the path that is a module; the rest names an item in it.
            let Some(to) =
                (0..=path.len()).rev().map(|len| &path[..len]).find(|p| modules.contains(p))
            else {
                continue;
            };
            let same = file.module.iter().zip(to).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (file.module.get(same), to.get(same)) {
                let parent = file.module[..same].to_vec();
                needs
                    .entry(parent)
                    .or_default()
                    .entry(from.clone())
                    .or_default()
                    .insert(to.clone());
            }
        }
    }
    needs
}

/// The paths that a file names from the crate's root or from a parent module, whole.
fn named(file: &SourceFile) -> Vec<Vec<String>> {
    let code = file.lines.iter().map(|line| line.split("//").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
            expand(&code[at..], &mut Vec::new(), &mut found);
        }
    }
    found.into_iter().map(|path| from_root(path, &file.module)).collect()
}

/// Takes a path apart, with the groups in braces of a `use`; returns what follows it.
fn expand<'c>(code: &'c str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'c str {
    let depth = before.len();
    let mut rest = code.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = expand(group, before, found).trim_start();
                match group.strip_prefix(',') {
                    Some(next) if !next.trim_start().starts_with('}') => group = next,
                    Some(last) => break rest = last.trim_start(),
                    None => break rest = group,
                }
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
            break;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        before.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else {
            found.push(before.clone());
            break;
        };
        rest = next;
    }
    before.truncate(depth);
    // A name given to an import.
    match rest.strip_prefix(" as ") {
        Some(name) => name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

fn from_root(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut words = path.into_iter().peekable();
    if words.next_if(|word| word == "crate").is_some() {
        base.clear();
    }
    while words.next_if(|word| word == "super").is_some() {
        base.pop();
    }
    base.extend(words);
    base
}

/// The groups of modules in which each reaches each other.
fn groups(needs: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        needs.keys().map(|from| (from, reached(needs, from))).collect();
    let mut groups = BTreeSet::new();
    for (from, reached) in &reach {
        let mut group: Vec<String> = reached
            .iter()
            .filter(|to| reach.get(**to).is_some_and(|back| back.contains(from)))
            .map(|to| (*to).clone())
            .collect();
        group.retain(|name| name != *from);
        if !group.is_empty() {
            group.push((*from).clone());
            group.sort();
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

fn reached<'n>(
    needs: &'n BTreeMap<String, BTreeSet<String>>,
    from: &'n String,
) -> BTreeSet<&'n String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        for to in needs.get(at).into_iter().flatten() {
            if seen.insert(to) {
                next.push(to);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(module: &str, text: &str) -> SourceFile {
        SourceFile {
            path: PathBuf::from(module),
            module: module.split("::").map(str::to_owned).collect(),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn two_modules_that_need_each_other_are_a_circle_and_a_parents_name_is_none() {
        let files = [
            file("a", "use crate::b::inner::Item;"),
            file("b", "mod inner;"),
            file("b::inner", "use super::Thing;\nlet x = super::super::a::f();"),
            file(
                "c",
                "use crate::{\n    a,\n    d::{self, inner::{E, F as G}, H},\n};\n// crate::e",
            ),
            file("d", "use crate::c::Item;"),
        ];
        let needs = needs(&files);
        assert_eq!(groups(&needs[&Vec::new()]), [["a", "b"], ["c", "d"]]);
        assert!(!needs.contains_key(&vec!["b".to_owned()]));
    }
}
