//! What a program and those that it started cost: processes, memory, wake-ups, as Linux counts them.
//!
//! It must not judge: tests have bounds, benches have none. Where to read next: proc(5).

use std::{collections::BTreeMap, fs, path::Path};

/// What is called so draws pages; the kernel keeps fifteen letters of a name.
const DRAWS: &str = "WebKitWebProces";

/// A process and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The names of the processes, sorted.
    pub processes: Vec<String>,
    /// Proportional memory, in bytes: what is shared counts by halves, thirds and so on.
    pub memory: u64,
    /// Memory that is nobody else's and no file's, in bytes: other programs that come and go don't
    /// change it.
    pub own: u64,
    /// How often each thread waited and was woken since its start, by its number.
    pub wakes: BTreeMap<u32, u64>,
}

impl Cost {
    /// Of this process and all below it now.
    pub fn of(process: u32) -> Self {
        let mut cost = Self::default();
        for process in family(process) {
            let place = format!("/proc/{process}");
            // One that ends meanwhile costs nothing.
            let Ok(name) = fs::read_to_string(format!("{place}/comm")) else { continue };
            cost.processes.push(name.trim().to_owned());
            cost.memory += number(Path::new(&place).join("smaps_rollup").as_path(), "Pss:") * 1024;
            cost.own +=
                number(Path::new(&place).join("smaps_rollup").as_path(), "Anonymous:") * 1024;
            for task in fs::read_dir(format!("{place}/task")).into_iter().flatten().flatten() {
                let woken = number(&task.path().join("status"), "voluntary_ctxt_switches:");
                let task = task.file_name().to_str().and_then(|name| name.parse().ok());
                cost.wakes.insert(task.unwrap_or(0), woken);
            }
        }
        cost.processes.sort_unstable();
        cost
    }

    /// How often its threads were woken since this was measured before.
    pub fn wakes_since(&self, before: &Self) -> u64 {
        let all = self.wakes.iter();
        // One that has ended meanwhile is not counted any more.
        all.map(|(task, now)| now.saturating_sub(before.wakes.get(task).copied().unwrap_or(0)))
            .sum()
    }

    /// What the open descriptors of a process lead to, each kind with how many there are of it.
    pub fn descriptors(process: u32) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten() {
            // One that is closed meanwhile leads nowhere.
            let Ok(to) = fs::read_link(entry.path()) else { continue };
            let kind: String =
                to.to_string_lossy().chars().filter(|letter| !letter.is_ascii_digit()).collect();
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// The processes below this one that draw pages.
    pub fn drawing(process: u32) -> Vec<u32> {
        let all = family(process).into_iter();
        all.filter(|one| {
            let name = fs::read_to_string(format!("/proc/{one}/comm")).unwrap_or_default();
            name.starts_with(DRAWS)
        })
        .collect()
    }

    /// Whether a process that draws pages is among them.
    pub fn draws(&self) -> bool {
        self.processes.iter().any(|name| name.starts_with(DRAWS))
    }
}

/// The number after this word at the beginning of a line.
fn number(file: &Path, word: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A process and all below it.
fn family(process: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let parent = number(&entry.path().join("status"), "PPid:");
        children.entry(u32::try_from(parent).unwrap_or(0)).or_default().push(child);
    }
    let mut all = vec![process];
    let mut place = 0;
    while let Some(parent) = all.get(place).copied() {
        all.extend(children.remove(&parent).unwrap_or_default());
        place += 1;
    }
    all
}
