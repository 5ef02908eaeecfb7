//! A stand-in for macOS's `security`, and for its `ps`: as much of them as a program needs that keeps
//! one item, and every way in which they can fail it.
//!
//! It lives in `$HOME`: items in `keychain/SERVICE@ACCOUNT`, what it is told to do wrong in `faults`
//! (one a line: `read` or `write`, then `locked`, `hang`, `exit N`, `nothing`, `late`; `once` in front
//! is done once), what it was called with in `called`, the programs that run in `programs`. It must
//! not share code with the engine. Where to read next: `lamplighter_tests::keychain`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a helper of tests: a step that fails is a test that fails, and its output is its answer"
)]

use std::{
    env, fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::exit,
    thread,
    time::{Duration, UNIX_EPOCH},
};

/// The tool reads its lines into a buffer of this size, and takes what does not fit for another line.
const BUFFER: usize = 4_096;
/// Low bytes of `errSecItemNotFound`, `errSecDuplicateItem` and `errSecInteractionNotAllowed`.
const NOT_FOUND: i32 = 44;
const DUPLICATE: i32 = 45;
const LOCKED: i32 = 36;
const USAGE: i32 = 2;

fn main() {
    let home = PathBuf::from(env::var_os("HOME").expect("a home"));
    let args: Vec<String> = env::args().skip(1).collect();
    record(&home, &args);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["-axo", "comm="] => {
            print!("{}", fs::read_to_string(home.join("programs")).unwrap_or_default());
            0
        }
        ["-i"] => interactive(&home),
        ["find-generic-password", options @ ..] => find(&home, options),
        ["add-generic-password", options @ ..] => add(&home, options),
        _ => USAGE,
    };
    exit(code);
}

/// What anybody on the machine can see of this call.
fn record(home: &Path, args: &[String]) {
    let environment: Vec<String> = env::vars_os()
        .map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect();
    let line = format!("{args:?} {}\n", environment.join(" "));
    let file = fs::OpenOptions::new().create(true).append(true).open(home.join("called"));
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a written record");
}

fn find(home: &Path, options: &[&str]) -> i32 {
    if !options.contains(&"-w") {
        return show(home, options);
    }
    let fault = fault(home, "read");
    if let Some(code) = fault.as_deref().and_then(before) {
        return code;
    }
    let Ok(value) = fs::read(item(home, options)) else { return NOT_FOUND };
    if value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        println!("{}", String::from_utf8_lossy(&value));
    } else {
        let digits = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
        println!("{}", digits.concat());
    }
    0
}

/// What is known of an item beside its value.
fn show(home: &Path, options: &[&str]) -> i32 {
    let Ok(written) = fs::metadata(item(home, options)).and_then(|found| found.modified()) else {
        return NOT_FOUND;
    };
    let seconds = written.duration_since(UNIX_EPOCH).expect("a time since 1970").as_secs();
    println!(
        "class: \"genp\"\nattributes:\n    \"mdat\"<timedate>=0x{seconds:x}  \"{seconds}Z\\000\""
    );
    0
}

/// One command a line, until there are no more; the last one's exit code.
fn interactive(home: &Path) -> i32 {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).expect("readable input");
    let mut code = 0;
    for line in input.split(|byte| *byte == b'\n').flat_map(|line| line.chunks(BUFFER)) {
        let line = String::from_utf8_lossy(line);
        let words = words(&line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        code = match words.as_slice() {
            ["add-generic-password", options @ ..] => add(home, options),
            [] => code,
            _ => USAGE,
        };
    }
    code
}

fn add(home: &Path, options: &[&str]) -> i32 {
    let fault = fault(home, "write");
    if let Some(code) = fault.as_deref().and_then(before) {
        return code;
    }
    let place = item(home, options);
    if place.exists() && !options.contains(&"-U") {
        return DUPLICATE;
    }
    let Some(value) = option(options, "-X") else { return USAGE };
    let digits: Vec<u8> = value
        .chars()
        .map(|c| u8::try_from(c.to_digit(16).expect("a digit")).expect("a digit"))
        .collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let temp = place.with_extension(format!("tmp{}", std::process::id()));
    fs::write(&temp, bytes).expect("a written item");
    fs::rename(&temp, &place).expect("an item in its place");
    if fault.as_deref() == Some("late") {
        hang();
    }
    0
}

/// What happens instead, for most faults.
fn before(fault: &str) -> Option<i32> {
    match fault {
        "locked" => Some(LOCKED),
        "hang" => hang(),
        "nothing" => Some(0),
        other => other.strip_prefix("exit ").map(|code| code.parse().expect("an exit code")),
    }
}

fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

/// What is to go wrong with this step, if anything is.
fn fault(home: &Path, step: &str) -> Option<String> {
    let place = home.join("faults");
    let faults = fs::read_to_string(&place).ok()?;
    let always = format!("{step} ");
    let once = format!("once {step} ");
    if let Some(line) = faults.lines().find(|line| line.starts_with(&once)) {
        let left: Vec<&str> = faults.lines().filter(|other| *other != line).collect();
        fs::write(&place, left.join("\n")).expect("a written list");
        return line.strip_prefix(&once).map(Into::into);
    }
    faults.lines().find_map(|line| line.strip_prefix(&always).map(Into::into))
}

fn item(home: &Path, options: &[&str]) -> PathBuf {
    let service = option(options, "-s").expect("a service");
    let account = option(options, "-a").expect("an account");
    home.join("keychain").join(format!("{service}@{account}"))
}

fn option<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    let at = options.iter().position(|option| *option == name)?;
    options.get(at + 1).copied()
}

/// A line's words: quotes hold spaces, a backslash holds what follows. A quote that never closes
/// holds all that is left.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
