//! Texts that are part of the binary: the manual, and the licences of all that is linked in. Pages
//! show them and verbs print them, on machines that reach nothing else.

/// Written by hand; chapters begin with `## `.
const MANUAL: &str = include_str!("../../data/manual.md");
/// Made by `packaging/licences`: a line for each crate, then the texts.
const LICENCES: &str = include_str!("../../data/licences.txt");
/// Stands above each text of a licence.
const RULE: &str =
    "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n";
/// Longest texts that go into the binary.
const LICENCES_BYTES_MAX: usize = 512 << 10;
const MANUAL_BYTES_MAX: usize = 64 << 10;
/// Holders of a text that are named in its summary.
const NAMES_MAX: usize = 3;
const _: () = assert!(LICENCES.len() <= LICENCES_BYTES_MAX && MANUAL.len() <= MANUAL_BYTES_MAX);

/// A part of the manual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// To ask for it by: `back-up`.
    pub name: String,
    pub title: &'static str,
    /// Markdown, without the title.
    pub text: &'static str,
}

/// The whole manual as Markdown.
pub fn manual() -> &'static str {
    MANUAL
}

/// What the manual says before its first chapter, and its chapters.
pub fn chapters() -> (&'static str, Vec<Chapter>) {
    let mut parts = MANUAL.split("\n## ");
    let head = parts.next().unwrap_or_default();
    let intro = head.split_once('\n').map_or("", |(_, intro)| intro).trim();
    let chapters = parts.map(|part| {
        let (title, text) = part.split_once('\n').unwrap_or((part, ""));
        let name = title.to_lowercase().replace([' ', ','], "-").replace("--", "-");
        Chapter { name, title, text: text.trim_matches('\n') }
    });
    (intro, chapters.collect())
}

/// A text of a licence, and for whom it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenceText {
    /// Its SPDX name: `MIT`.
    pub kind: &'static str,
    /// A line for each: name, version and whose it is.
    pub holders: &'static str,
    pub text: &'static str,
}

impl LicenceText {
    /// For whom, in some words.
    pub fn summary(&self) -> String {
        let names = || self.holders.lines().filter_map(|line| line.split([':', ',']).next());
        match names().count() {
            count if count > NAMES_MAX => format!("{count} of them"),
            _ => names().collect::<Vec<_>>().join(", "),
        }
    }
}

/// All of it as text.
pub fn licences() -> &'static str {
    LICENCES
}

/// A line for each crate (name, version, licence, source), and the texts.
pub fn licence_texts() -> (&'static str, Vec<LicenceText>) {
    let mut parts = LICENCES.split(RULE);
    let crates = parts.next().unwrap_or_default().trim_end();
    let texts = parts.map(|part| {
        let (kind, rest) = part.split_once("\n\n").unwrap_or((part, ""));
        let (holders, text) = rest.split_once("\n\n").unwrap_or((rest, ""));
        LicenceText { kind, holders, text: text.trim_end() }
    });
    (crates, texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_can_be_asked_for() {
        let (intro, chapters) = chapters();
        assert!(intro.len() > 40, "{intro}");
        for name in ["install", "secure-it", "back-up", "restore", "upgrade", "when-it-is-broken"] {
            assert!(chapters.iter().any(|chapter| chapter.name == name), "{name}: {chapters:#?}");
        }
        for Chapter { name, text, .. } in &chapters {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert!(!text.is_empty(), "{name}");
        }
    }

    #[test]
    fn licences_are_cut_into_texts() {
        let (crates, texts) = licence_texts();
        assert!(crates.lines().all(|line| line.split_whitespace().count() >= 3), "{crates}");
        let mit = texts.iter().find(|text| text.kind == "MIT").unwrap();
        assert!(mit.holders.contains("\nmusl: ") && mit.text.starts_with("Permission"));
        for LicenceText { kind, holders, text } in &texts {
            assert!(!kind.is_empty() && !kind.contains(' ') && !holders.is_empty(), "{kind}");
            assert!(text.len() > 300, "{kind}: {holders}");
        }
    }
}
