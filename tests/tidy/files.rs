//! What may lie around: no dead files, no unused templates, headers, bounds, nothing of one
//! machine, and a top level that stays short.

use std::collections::BTreeSet;

use crate::source::File;

/// Every Rust file hangs on a `mod` that starts at the root of a crate.
pub fn check_reached(files: &[File]) -> Vec<String> {
    let sources = || files.iter().filter(|file| file.path.ends_with(".rs"));
    let mut open: Vec<&File> = sources().filter(|file| is_root(&file.path)).collect();
    let mut reached = BTreeSet::new();
    while let Some(file) = open.pop() {
        if !reached.insert(&file.path) {
            continue;
        }
        let folder = match file.path.rsplit_once('/') {
            Some((folder, "mod.rs")) => folder.to_owned(),
            Some((folder, _)) if is_root(&file.path) => folder.to_owned(),
            _ => file.path.trim_end_matches(".rs").to_owned(),
        };
        for at in 0..file.words.len() {
            if !file.matches(at, &["mod"]) || file.words.get(at + 2).is_none_or(|w| w.text != ";") {
                continue;
            }
            let name = &file.words[at + 1].text;
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
            open.extend(sources().filter(|file| places.contains(&file.path)));
        }
    }
    let dead = sources().filter(|file| !reached.contains(&file.path));
    dead.map(|file| {
        format!("{}: no `mod` leads here: declare it in its parent, or delete it", file.path)
    })
    .collect()
}

fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["src", "lib.rs" | "main.rs"] | ["tests", _] | ["tests", _, "main.rs"])
}

/// Every template is named by a page or by another template.
pub fn check_templates(files: &[File]) -> Vec<String> {
    let users = files
        .iter()
        .filter(|file| file.path.starts_with("src/") || file.path.starts_with("templates/"));
    let users: Vec<&File> = users.collect();
    let mut wrong = Vec::new();
    for file in files {
        let Some(name) = file.path.strip_prefix("templates/") else { continue };
        let quoted = format!("\"{name}\"");
        if !users.iter().any(|user| user.path != file.path && user.text.contains(&quoted)) {
            wrong.push(format!(
                "{}: no page and no other template names {quoted}: use it, or delete it",
                file.path
            ));
        }
    }
    wrong
}

/// From this length on a file opens with what it is for.
const HEADER_LINES_MIN: usize = 30;
const LINES_MAX: usize = 600;
const BOUNDED: &[&str] = &[".rs", ".html", ".css", ".js", ".py", ".sh"];

pub fn check_shape(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if file.path.ends_with(".rs") && lines >= HEADER_LINES_MIN && !file.text.starts_with("//! ")
        {
            wrong.push(format!(
                "{}: {lines} lines without a header: start with `//!` and the question that this \
                 file answers",
                file.path
            ));
        }
        if lines > LINES_MAX && BOUNDED.iter().any(|end| file.path.ends_with(end)) {
            wrong.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}: find the second question that it answers \
                 and give it its own file",
                file.path
            ));
        }
    }
    wrong
}

/// Folders below which only one machine has something.
const MACHINE: &[&str] = &["home", "root", "work", "Users"];

pub fn check_machine_paths(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        for (index, line) in file.text.lines().enumerate() {
            for folder in MACHINE.iter().map(|name| format!("/{name}/")) {
                // After a letter or a dot it is a part of a relative path.
                let absolute = |(at, _): (usize, &str)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c))
                };
                if line.match_indices(&folder).any(absolute) {
                    wrong.push(format!(
                        "{}:{}: a path below `{folder}` exists on one machine only: make it \
                         relative, or an argument",
                        file.path,
                        index + 1
                    ));
                }
            }
        }
    }
    wrong
}

pub fn check_blanks(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        // Stored and expected data is what it is.
        if file.path.starts_with("data/") || file.path.ends_with(".snap") {
            continue;
        }
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                wrong.push(format!(
                    "{}:{}: the line ends in blanks: delete them",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    wrong
}

/// `*` at the end stands for anything.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "templates",
    "data",
    "tests",
    "packaging",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-*",
    "deny.toml",
    ".ci",
    "clippy.toml",
    "rustfmt.toml",
    ".gitignore",
];

/// At the top level, what is built or run in place.
pub fn is_ignored(name: &str) -> bool {
    name == "target" || name.starts_with("tidegate-") || name.ends_with(".log")
}

pub fn check_top_level(files: &[File]) -> Vec<String> {
    let entries: BTreeSet<&str> =
        files.iter().filter_map(|file| file.path.split('/').next()).collect();
    let agreed = |name: &str| {
        TOP_LEVEL.iter().any(|agreed| match agreed.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *agreed,
        })
    };
    entries
        .into_iter()
        .filter(|name| !agreed(name))
        .map(|name| {
            format!(
                "{name}: not an agreed entry of the top level: move it into one of {}",
                TOP_LEVEL.join(" ")
            )
        })
        .collect()
}

#[cfg(test)]
fn tree_of(files: &[(&str, &str)]) -> Vec<File> {
    files.iter().map(|(path, text)| File::new(path, text)).collect()
}

#[test]
fn dead_file_is_reported() {
    let wrong = check_reached(&tree_of(&[
        ("src/lib.rs", "pub mod base;\n// mod dead;\nmod inline { fn f() {} }"),
        ("src/main.rs", "mod cli;"),
        ("src/cli.rs", "mod serve;"),
        ("src/cli/serve.rs", ""),
        ("src/base/mod.rs", "pub mod time;"),
        ("src/base/time.rs", ""),
        ("src/base/dead.rs", ""),
        ("src/dead.rs", ""),
        ("tests/it/main.rs", "mod world;"),
        ("tests/it/world.rs", ""),
        ("tests/it/dead.rs", ""),
    ]));
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong.iter().all(|wrong| wrong.contains("dead.rs")), "{wrong:?}");
}

#[test]
fn unused_template_is_reported() {
    let wrong = check_templates(&tree_of(&[
        ("src/front/dashboard/runs.rs", "#[template(path = \"runs.html\")]"),
        ("templates/runs.html", "{% include \"parts/row.html\" %}"),
        ("templates/parts/row.html", ""),
        ("templates/dead.html", "{% extends \"dead.html\" %}"),
    ]));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("templates/dead.html"), "{wrong:?}");
}

#[test]
fn missing_header_and_length_are_reported() {
    let long = "fn f() {}\n".repeat(HEADER_LINES_MIN);
    assert_eq!(check_shape(&tree_of(&[("src/a.rs", &long)])).len(), 1);
    assert_eq!(check_shape(&tree_of(&[("src/a.rs", &long[10..])])).len(), 0);
    let longer = format!("//! A.\n{}", "\n".repeat(LINES_MAX));
    assert_eq!(check_shape(&tree_of(&[("src/a.rs", &longer)])).len(), 1);
    assert_eq!(check_shape(&tree_of(&[("Cargo.lock", &longer)])).len(), 0);
}

#[test]
fn machine_path_is_reported() {
    for name in MACHINE {
        let text = format!("a\nsee /{name}/a/b");
        assert_eq!(check_machine_paths(&tree_of(&[("README.md", &text)])).len(), 1, "{text}");
        let relative = format!("src/{name}/a ../{name}/b /{name}ers");
        assert_eq!(check_machine_paths(&tree_of(&[("README.md", &relative)])).len(), 0);
    }
}

#[test]
fn blanks_at_line_end_are_reported() {
    let files = tree_of(&[("README.md", "a \nb\t\nc\r\nd\n"), ("data/golden.txt", "a \n")]);
    assert_eq!(check_blanks(&files).len(), 3);
}

#[test]
fn stray_top_level_entry_is_reported() {
    let files = tree_of(&[("notes.md", ""), ("scripts/a.sh", ""), ("LICENSE-MIT", "")]);
    let wrong = check_top_level(&files);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}
