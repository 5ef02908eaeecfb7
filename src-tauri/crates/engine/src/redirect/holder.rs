//! Who has a taken port, in words: the program's name and process id where the system tells.
//!
//! Only the user's own processes can be looked into; of anybody else's it is said that there is one.

/// Who listens on this port of this machine.
pub(super) fn of(port: u16) -> String {
    match program(port) {
        Some((pid, _)) if pid == std::process::id() => {
            format!("another sign-in of Lamplighter's uses it (process {pid})")
        }
        Some((pid, name)) => format!("{name} uses it (process {pid})"),
        None => "another program uses it".into(),
    }
}

#[cfg(target_os = "linux")]
fn program(port: u16) -> Option<(u32, String)> {
    use std::fs;

    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let has_it = open.filter_map(Result::ok).any(|file| {
            let leads_to = fs::read_link(file.path()).ok();
            leads_to.is_some_and(|to| sockets.iter().any(|socket| to.as_os_str() == &**socket))
        });
        if has_it {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some((pid, name.trim_end().to_owned()));
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
fn program(_: u16) -> Option<(u32, String)> {
    None
}

/// The sockets of a kernel's table (`man 5 proc_pid_net`) that are bound to this port; those that
/// listen first.
#[cfg(target_os = "linux")]
fn inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let mut found: Vec<(bool, u64)> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (_, local) = fields.get(1)?.rsplit_once(':')?;
            let inode = fields.get(9)?.parse().ok()?;
            let is_it = u16::from_str_radix(local, 16) == Ok(port) && inode != 0;
            is_it.then_some((fields.get(3) != Some(&LISTEN), inode))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, inode)| inode).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_for_one_port_and_listeners_come_first() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0C2E 0100007F:8000 01 00000000:00000000 00:00000000 00000000  1000        0 11 1\n\
            1: 0100007F:0C2E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 22 1\n\
            2: 0100007F:0C2F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 33 1\n\
            3: 0100007F:0C2E 00000000:0000 06 00000000:00000000 00:00000000 00000000  1000        0 0 1\n\
            odd\n";
        assert_eq!(inodes(table, 3118), [22, 11]);
        assert_eq!(inodes(table, 1), [0; 0]);
    }
}
