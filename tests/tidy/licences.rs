//! The list of licences that the binary shows names every crate that goes into it.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// What is built for releases.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// Crates of the graph that are not in the list, and lines of the list that are not in the graph.
fn check_licences(list: &str, crates: &[String]) -> Vec<String> {
    let again = "run `packaging/sbom --text TARGET >data/licences.txt`";
    let line = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let listed: Vec<String> = list.lines().map(line).collect();
    let missing = crates.iter().filter(|name| !listed.contains(name));
    let missing = missing.map(|name| format!("data/licences.txt lacks {name}: {again}"));
    let gone = listed.iter().filter(|name| !crates.contains(name));
    let gone =
        gone.map(|name| format!("data/licences.txt names {name}, which is not used: {again}"));
    missing.chain(gone).collect()
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
    assert_eq!(check_licences("a 1.0.0  MIT\nb 2.0.0 MIT\n", &crates), [""; 0]);
    let wrong = check_licences("a 1.0.0  MIT\nb 1.9.0 MIT\n", &crates);
    assert!(wrong[0].contains("lacks b 2.0.0") && wrong[1].contains("b 1.9.0"), "{wrong:?}");
}
