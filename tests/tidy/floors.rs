//! The floors: imports go down only, tests of a module included.

use crate::source::File;

/// Floor by top module. On one floor nobody imports a neighbour, except at the top.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("model", 1),
    ("store", 2),
    ("ledger", 3),
    ("engine", 3),
    ("appliance", 4),
    ("work", 5),
    ("front", 5),
    ("app", TOP),
    ("cli", TOP),
    ("config", TOP),
    ("lib", TOP),
    ("main", TOP),
];
const TOP: u8 = 6;

pub fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// The top module of a file: `base` for `src/base/time.rs`; `None` outside of `src`.
pub fn module_of(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    inner.split('/').next()
}

pub fn check(files: &[File]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let Some(own) = module_of(&file.path) else { continue };
        let Some(own_floor) = floor_of(own) else {
            wrong.push(format!(
                "{}: module `{own}` has no floor: put it into an existing module, or give it a \
                 floor here and in the map of src/lib.rs",
                file.path
            ));
            continue;
        };
        for (line, target) in imports(file) {
            let place = format!("{}:{line}", file.path);
            if target == "*" {
                wrong.push(format!("{place}: `crate::*` hides the floor: name what is imported"));
            }
            // What is not a module of ours is a macro or an item of lib.rs, or has its own report.
            let Some(floor) = floor_of(&target) else { continue };
            if floor > own_floor {
                wrong.push(format!(
                    "{place}: `{own}` (floor {own_floor}) imports `{target}` (floor {floor}): move \
                     what is needed down, or hand it in as an argument"
                ));
            } else if floor == own_floor && target != own && floor != TOP {
                wrong.push(format!(
                    "{place}: `{own}` imports its neighbour `{target}` (both floor {floor}): let \
                     the floor above join them, or move what they share down"
                ));
            }
        }
    }
    wrong
}

/// Line and top module of every path that starts at the root of the crate, in `use` or elsewhere.
fn imports(file: &File) -> Vec<(usize, String)> {
    let words = &file.words;
    // How many `super::` lead from the file to the root of the crate.
    let depth = file.path.split('/').filter(|part| *part != "mod.rs").count() - 1;
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let mut next = at;
        let mut climbed = 0;
        while file.matches(next, &["super", "::"]) {
            (next, climbed) = (next + 2, climbed + 1);
        }
        if file.matches(next, &["crate", "::"]) {
            (next, climbed) = (next + 2, depth);
        }
        if climbed < depth || climbed == 0 {
            at = next.max(at + 1);
            continue;
        }
        at = next;
        let mut braces = 0;
        let mut first = true;
        // One name, or the first name of each path in a group.
        while let Some(word) = words.get(at) {
            match word.text.as_str() {
                "{" => braces += 1,
                "}" => braces -= 1,
                "," if braces == 1 => first = true,
                name if first => {
                    found.push((word.line, name.to_owned()));
                    first = false;
                }
                _ => {}
            }
            at += 1;
            if braces == 0 {
                break;
            }
        }
    }
    found
}

#[test]
fn imports_are_found_in_any_form() {
    let file = File::new(
        "src/model/run.rs",
        "use crate::base::{id, time};\nuse crate::{\n  store::tx::{Tx, Rows},\n  model, };\n\
         fn f() { crate::work::go(); super::gate::ask(); super::super::front::x() }\n\
         // crate::no\npub(crate) fn g() { $crate::cli::x; self::y() }",
    );
    let found: Vec<String> =
        imports(&file).into_iter().map(|(line, name)| format!("{line} {name}")).collect();
    assert_eq!(
        found,
        ["1 base", "3 store", "4 model", "5 work", "5 front", "7 cli"],
        "one per path from the root"
    );
}

#[test]
fn upward_import_is_reported() {
    for (path, text, wrong) in [
        ("src/base/id.rs", "use crate::model::run::Run;", 1),
        ("src/ledger/runs/submit.rs", "use crate::engine::batch;", 1),
        ("src/front/http/runs.rs", "use crate::{appliance, work};", 1),
        ("src/model/run.rs", "#[cfg(test)] mod tests { use crate::store::tx::Tx; }", 1),
        ("src/base/mod.rs", "use super::model::run;", 1),
        ("src/helpers.rs", "", 1),
        ("src/model/run.rs", "use crate::*;", 1),
        ("src/cli/serve.rs", "use crate::app::App; use crate::config; use crate::base::id;", 0),
        ("src/store/tx.rs", "use crate::model::run; use crate::store::rows; use super::key;", 0),
        ("src/lib.rs", "pub mod base;", 0),
        ("tests/it/main.rs", "use crate::world; use tidegate::app;", 0),
    ] {
        let found = check(&[File::new(path, text)]);
        assert_eq!(found.len(), wrong, "{path}: {text}: {found:?}");
    }
}
