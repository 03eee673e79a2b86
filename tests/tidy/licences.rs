//! The licences that the binary shows name every crate that goes into it, each with a text.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// What is built for releases.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Stands above each text.
const RULE: &str =
    "\n~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n";

/// Crates of the graph that are not in the list or have no text, and lines of the list that are not
/// in the graph.
fn check_licences(shown: &str, crates: &[String]) -> Vec<String> {
    let again = format!("run `packaging/licences {TARGET} >data/licences.txt`");
    let (list, texts) = shown.split_once(RULE).unwrap_or((shown, ""));
    let line = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let listed: Vec<String> = list.lines().map(line).collect();
    // A licence's name, those for whom its text holds, its text, with empty lines between.
    let holders = texts.split(RULE).filter_map(|text| text.split("\n\n").nth(1));
    let holders: Vec<&str> = holders.flat_map(str::lines).collect();
    let has_text = |name: &str| {
        let rest = |line: &&str| line.strip_prefix(name).map(str::to_owned);
        holders.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let textless = crates.iter().filter(|name| !has_text(name));
    let textless =
        textless.map(|name| format!("data/licences.txt has no text for {name}: {again}"));
    let missing = crates.iter().filter(|name| !listed.contains(name));
    let missing = missing.map(|name| format!("data/licences.txt lacks {name}: {again}"));
    let gone = listed.iter().filter(|name| !crates.contains(name));
    let gone =
        gone.map(|name| format!("data/licences.txt names {name}, which is not used: {again}"));
    missing.chain(gone).chain(textless).collect()
}

/// Name and version of all that the package depends on, but for tests.
fn linked(metadata: &Value) -> Vec<String> {
    let all = |value: &'static str| metadata[value].as_array().expect("a list");
    let name = |package: &Value| {
        let text = |key: &str| package[key].as_str().expect("a text").to_owned();
        (text("id"), format!("{} {}", text("name"), text("version")))
    };
    let names: BTreeMap<String, String> = all("packages").iter().map(name).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a list");
    let root = metadata["resolve"]["root"].as_str().expect("a package");
    let mut used = vec![root];
    let mut at = 0;
    while let Some(id) = used.get(at) {
        let node = nodes.iter().find(|node| node["id"] == *id).expect("a node");
        for dep in node["deps"].as_array().expect("a list") {
            let kinds = dep["dep_kinds"].as_array().expect("a list");
            let dep = dep["pkg"].as_str().expect("an id");
            if kinds.iter().any(|kind| kind["kind"] != "dev") && !used.contains(&dep) {
                used.push(dep);
            }
        }
        at += 1;
    }
    used[1..].iter().map(|id| names[*id].clone()).collect()
}

#[test]
fn licences_of_all_crates_are_listed() {
    let cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", TARGET])
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata = serde_json::from_slice(&cargo.stdout).expect("it is JSON");
    let list = std::fs::read_to_string("data/licences.txt").expect("the list is there");
    let wrong = check_licences(&list, &linked(&metadata));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn missing_and_old_licences_are_found() {
    let crates = ["a 1.0.0".to_owned(), "b 2.0.0".to_owned()];
    let text = |holders: &str| format!("{RULE}MIT\n\n{holders}\n\nPermission is granted");
    let list = "a 1.0.0  MIT\nb 2.0.0 MIT".to_owned();
    let whole = list.clone() + &text("a 1.0.0: by a") + &text("b 2.0.0");
    assert_eq!(check_licences(&whole, &crates), [""; 0]);
    let old = "a 1.0.0  MIT\nb 1.9.0 MIT".to_owned() + &text("a 1.0.0\nb 2.0.0");
    let wrong = check_licences(&old, &crates);
    assert!(wrong[0].contains("lacks b 2.0.0") && wrong[1].contains("b 1.9.0"), "{wrong:?}");
    let wrong = check_licences(&(list + &text("a 1.0.0\nb 2.0.0-rc1")), &crates);
    assert!(wrong.len() == 1 && wrong[0].contains("no text for b 2.0.0"), "{wrong:?}");
}
