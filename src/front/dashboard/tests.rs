//! Every page, empty, full and hostile: escaped, well formed, nothing inline, nothing from outside.

use std::collections::HashSet;

use super::fixtures::{self, HOSTILE, hostile, plain};
use super::{assets, text};

fn all() -> Vec<(String, String)> {
    let named = |kind: &str, pages: Vec<(&'static str, String)>| -> Vec<(String, String)> {
        pages.into_iter().map(|(name, page)| (format!("{kind}-{name}"), page)).collect()
    };
    [
        named("empty", fixtures::empty()),
        named("full", fixtures::full(plain)),
        named("hostile", fixtures::full(hostile)),
    ]
    .concat()
}

#[test]
fn hostile_texts_are_escaped_everywhere() {
    for (name, page) in fixtures::full(hostile) {
        assert!(!page.contains(HOSTILE), "{name}: {}", around(&page, HOSTILE));
        assert!(page.contains("&#60;b&#62;&#34;&#38;&#39;"), "{name} shows what it was given");
        assert!(!page.contains("&#38;#60;"), "{name} escapes twice");
    }
}

#[test]
fn pages_hold_nothing_inline() {
    for (name, page) in all() {
        for (tag, attributes) in tags(&page) {
            assert!(tag != "style", "{name}: a style element");
            assert!(tag != "script" || attributes.contains("src="), "{name}: an inline script");
            for attribute in attribute_names(attributes) {
                assert!(attribute != "style", "{name}: style on <{tag}>");
                assert!(!attribute.starts_with("on"), "{name}: {attribute} on <{tag}>");
            }
        }
    }
}

#[test]
fn pages_refer_only_to_this_house() {
    for (name, page) in all() {
        for mark in ["src=\"", "href=\"", "action=\""] {
            for rest in page.split(mark).skip(1) {
                let value = rest.split('"').next().unwrap();
                assert!(
                    value.starts_with('#') || (value.starts_with('/') && !value.starts_with("//")),
                    "{name}: {mark}{value}"
                );
                if value.starts_with("/assets/") {
                    assert!(assets::asset(value).is_some(), "{name}: {value} is not served");
                }
            }
        }
    }
}

#[test]
fn pages_are_well_formed() {
    const VOID: [&str; 8] = ["!doctype", "meta", "link", "input", "br", "path", "circle", "use"];
    for (name, page) in all() {
        let mut open: Vec<&str> = Vec::new();
        for (tag, attributes) in tags(&page) {
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed), "{name}: {}", open.join(" > "));
            } else if !VOID.contains(&tag) && !attributes.ends_with('/') {
                open.push(tag);
            }
        }
        assert!(open.is_empty(), "{name}: {open:?} left open");
    }
}

#[test]
fn ids_are_unique_and_labels_point_somewhere() {
    for (name, page) in all() {
        let mut ids = HashSet::new();
        for rest in page.split(" id=\"").skip(1) {
            let id = rest.split('"').next().unwrap();
            assert!(ids.insert(id), "{name}: id {id} stands twice");
        }
        for rest in page.split("aria-labelledby=\"").skip(1) {
            for id in rest.split('"').next().unwrap().split(' ') {
                assert!(ids.contains(id), "{name}: no element {id}");
            }
        }
        for (tag, attributes) in tags(&page) {
            let live = attribute_names(attributes).any(|attribute| attribute == "data-live");
            assert!(!live || attributes.contains("id=\""), "{name}: a live <{tag}> without id");
        }
        assert!(page.matches("<table").count() == page.matches("<caption").count(), "{name}");
    }
}

#[test]
fn values_of_each_page_are_shown() {
    let pages = fixtures::full(plain);
    let page = |name: &str| &pages.iter().find(|(found, _)| *found == name).unwrap().1;
    for (name, texts) in [
        ("overview", &["48,213", "10,482,911", "Read-only", "1.8 GB", "6.4 ms", "half-open"][..]),
        (
            "runs",
            &["1,000,000+", "…", "looked at 2,000", "breaker of resize", "3<span", "First page"],
        ),
        ("run", &["12345678901234567890", "1.10", "Cancel the run", "Remote id"]),
        ("run_waiting", &["Waiting.", "Attempt 5 is out", "buffered", "href=\"/buffer\""]),
        ("outbox_dead", &["Replay many", "Dead since", "Resume", "removed by hand"]),
        (
            "outbox_preview",
            &["10,000+", "Replay the first 10,000 now", "name=\"dry_run\" value=\"false\""],
        ),
        ("job_preview", &["Cancel these 48,213 runs", "Nothing was done yet", "Discard"]),
        ("job", &["12,044", "Stop the job", "<code>resize</code>"]),
        ("endpoints_done", &["whsec_", "503", "shown this one time"]),
        ("batches", &["10,000", "4,213", "done, with failures", "First page"]),
        (
            "batch",
            &["Cancel the rest", "3,961 still to be", "Nobody was called", "Being made.", "9,998"],
        ),
        (
            "streams",
            &["48,213", "no group", "/streams/a%2Fb%20c", "looked at 1,000 keys", "31 runs"],
        ),
        (
            "stream",
            &["12 kB in all", "\\xff", "connected", "resize", "3 more fields", "order=oldest"],
        ),
        (
            "workers",
            &[
                "crashed, last seen alive",
                "+2 → 5",
                "1,250 %",
                "scaled down",
                "2 crashed within a day",
            ],
        ),
        (
            "buffer",
            &[
                "283,402",
                "into the buffer",
                "refused",
                "There are more; these are the fullest",
                "unexpected end of input",
                "never become real",
                "held",
                "X PUT",
            ],
        ),
        ("error", &["404", "run_not_found", "Try again in 2 s"]),
        ("docs", &["/v1/tasks/{name}", "unavailable_read_only", "503"]),
    ] {
        for text in texts {
            assert!(page(name).contains(text), "{name} lacks {text}");
        }
    }
}

/// Not a check: writes all pages to `TIDEGATE_PAGES_OUT`, with their assets, for looking at them.
#[test]
fn pages_are_written_for_looking() {
    let Ok(out) = std::env::var("TIDEGATE_PAGES_OUT") else { return };
    let out = std::path::Path::new(&out);
    std::fs::create_dir_all(out.join("assets")).unwrap();
    for url in assets::urls() {
        std::fs::write(out.join(&url[1..]), assets::asset(url).unwrap().1).unwrap();
    }
    for (name, page) in all() {
        let page = page.replace("\"/assets/", "\"assets/");
        println!("{name} {}", text::bytes(page.len() as u64));
        std::fs::write(out.join(format!("{name}.html")), page).unwrap();
    }
}

/// All tags in order: the name (with `/` when it closes) and the rest up to `>`.
fn tags(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('<').skip(1).map(|piece| {
        let inside = piece.split('>').next().unwrap();
        inside.split_once(char::is_whitespace).unwrap_or((inside, ""))
    })
}

fn attribute_names(attributes: &str) -> impl Iterator<Item = &str> {
    attributes
        .split('"')
        .step_by(2)
        .flat_map(str::split_whitespace)
        .map(|piece| piece.trim_end_matches('='))
}

fn around<'a>(page: &'a str, text: &str) -> &'a str {
    let at = page.find(text).unwrap_or(0);
    &page[page.floor_char_boundary(at.saturating_sub(80))..page.floor_char_boundary(at + 80)]
}
