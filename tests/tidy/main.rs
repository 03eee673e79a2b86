//! Repository hygiene as tests: what reviewers would otherwise have to say again and again.
//!
//! Every check takes the files of the tree and returns what is wrong, each as one line that names
//! the place and says what to do instead. Beside each check stands a test that feeds it something
//! bad: a check that cannot fail checks nothing. The rules themselves are tables, kept in
//! `floors.rs` (who may import whom), `words.rs` (who may name what) and `files.rs` (what may lie
//! around); reading Rust without its comments and literals is `source.rs`.

mod files;
mod floors;
mod licences;
mod source;
mod words;

use std::path::Path;
use std::process::Command;

use source::File;

/// Tests run in the root of the package. The path at build time would be wrong where several
/// checkouts share one target folder.
const ROOT: &str = ".";

/// All files that are in git or would be added by `git add .`; without git, all but the ignored.
fn tree() -> Vec<File> {
    let listed = Command::new("git")
        .args(["-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    let mut paths = match listed {
        Ok(listed) if listed.status.success() => String::from_utf8_lossy(&listed.stdout)
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
        _ => {
            let mut paths = Vec::new();
            walk(Path::new(ROOT), "", &mut paths);
            paths
        }
    };
    paths.sort();
    paths.dedup();
    let read = |path: String| {
        let bytes = std::fs::read(Path::new(ROOT).join(&path)).ok()?;
        // A file that is not text has only its name to check.
        Some(File::new(&path, &String::from_utf8(bytes).unwrap_or_default()))
    };
    let files: Vec<File> = paths.into_iter().filter_map(read).collect();
    assert!(
        files.iter().any(|file| file.path == "Cargo.toml"),
        "this is not the root of the repository"
    );
    files
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository can be listed");
    for entry in entries.map(|entry| entry.expect("an entry of the repository can be read")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefix.is_empty() && (files::is_ignored(&name) || name == ".git") {
            continue;
        }
        match entry.path() {
            path if path.is_dir() => walk(&path, &format!("{prefix}{name}/"), paths),
            _ => paths.push(format!("{prefix}{name}")),
        }
    }
}

fn assert_tidy(check: impl Fn(&[File]) -> Vec<String>) {
    let wrong = check(&tree());
    assert!(wrong.is_empty(), "{} to mend:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn imports_go_down_only() {
    assert_tidy(floors::check);
}

#[test]
fn words_stay_in_their_module() {
    assert_tidy(words::check_homes);
}

#[test]
fn lower_floors_never_await() {
    assert_tidy(words::check_waiting);
}

#[test]
fn no_markers_are_left_over() {
    assert_tidy(words::check_markers);
}

#[test]
fn every_source_file_is_reached() {
    assert_tidy(files::check_reached);
}

#[test]
fn every_template_is_used() {
    assert_tidy(files::check_templates);
}

#[test]
fn files_have_headers_and_bounds() {
    assert_tidy(files::check_shape);
}

#[test]
fn no_paths_of_one_machine() {
    assert_tidy(files::check_machine_paths);
}

#[test]
fn no_line_ends_in_blanks() {
    assert_tidy(files::check_blanks);
}

#[test]
fn top_level_holds_agreed_entries() {
    assert_tidy(files::check_top_level);
}

/// Without git the same files are found.
#[test]
fn walk_finds_what_git_lists() {
    let mut walked = Vec::new();
    walk(Path::new(ROOT), "", &mut walked);
    for file in tree() {
        assert!(walked.contains(&file.path), "`{}` is not found by walking", file.path);
    }
}
