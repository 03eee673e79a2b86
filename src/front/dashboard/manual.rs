//! The page of the manual: chapters of Markdown as blocks that a template can show.
//!
//! Only what the manual uses is understood: paragraphs, headings of the third level, lists, tables,
//! blocks of commands, and words between backticks. Everything else stays text.

use askama::Template;

use super::filters;
use super::shell::Shell;
use crate::front::shipped;

/// `GET /manual`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "manual.html")]
pub struct ManualPage {
    pub shell: Shell,
    pub intro: Vec<Block>,
    pub chapters: Vec<Chapter>,
}

#[derive(Clone, Debug, Default)]
pub struct Chapter {
    /// Part of the address: `back-up`.
    pub anchor: String,
    pub title: String,
    pub blocks: Vec<Block>,
}

/// A piece of a chapter; texts have their code between backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Heading(String),
    Text(String),
    /// Lines to type or to copy, with an id for the button beside them.
    Code {
        id: String,
        text: String,
    },
    List(Vec<String>),
    Table {
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
}

impl ManualPage {
    /// The manual that is part of the binary.
    pub fn new(shell: Shell) -> ManualPage {
        let (intro, chapters) = shipped::chapters();
        let chapter = |chapter: &shipped::Chapter| Chapter {
            anchor: chapter.name.clone(),
            title: chapter.title.to_owned(),
            blocks: blocks(&chapter.name, chapter.text),
        };
        let chapters = chapters.iter().map(chapter).collect();
        ManualPage { shell, intro: blocks("intro", intro), chapters }
    }
}

/// Cuts Markdown into blocks; ids begin with `name`.
pub fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let id = format!("{name}-{}", blocks.len());
            blocks.push(Block::Code { id, text: code.join("\n") });
        } else if let Some(heading) = line.strip_prefix("### ") {
            blocks.push(Block::Heading(heading.to_owned()));
        } else if line.starts_with('|') {
            let head = cells(line);
            let rows = std::iter::from_fn(|| lines.next_if(|line| line.starts_with('|')));
            // The first of them is the line between.
            let rows = rows.skip(1).map(cells).collect();
            blocks.push(Block::Table { head, rows });
        } else if let Some(item) = line.strip_prefix("- ") {
            let mut items = vec![item.to_owned()];
            while let Some(line) =
                lines.next_if(|line| line.starts_with("- ") || line.starts_with("  "))
            {
                match (line.strip_prefix("- "), items.last_mut()) {
                    (None, Some(last)) => *last += &format!(" {}", line.trim()),
                    (item, _) => items.push(item.unwrap_or_default().to_owned()),
                }
            }
            blocks.push(Block::List(items));
        } else if !line.is_empty() {
            let mut text = line.to_owned();
            while let Some(line) = lines.next_if(|line| goes_on(line)) {
                text += &format!(" {line}");
            }
            blocks.push(Block::Text(text));
        }
    }
    blocks
}

/// A line that belongs to the paragraph above it.
fn goes_on(line: &str) -> bool {
    !line.is_empty() && !["```", "### ", "|", "- "].iter().any(|start| line.starts_with(start))
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_cut_into_blocks() {
        let text = "One\ntwo `x`.\n\n### Then\n- a\n  b\n- c\n\n```sh\nls\n\n# all\n```\n\n\
                    | k | v |\n|---|---|\n| 1 | 2 |\nend";
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let wanted = [
            Block::Text("One two `x`.".to_owned()),
            Block::Heading("Then".to_owned()),
            Block::List(owned(&["a b", "c"])),
            Block::Code { id: "n-3".to_owned(), text: "ls\n\n# all".to_owned() },
            Block::Table { head: owned(&["k", "v"]), rows: vec![owned(&["1", "2"])] },
            Block::Text("end".to_owned()),
        ];
        assert_eq!(blocks("n", text), wanted);
        assert_eq!(
            blocks("n", "```\nopen"),
            [Block::Code { id: "n-0".into(), text: "open".into() }]
        );
    }

    #[test]
    fn manual_uses_only_what_is_understood() {
        let page = ManualPage::new(Shell::default());
        for chapter in &page.chapters {
            for block in &chapter.blocks {
                let Block::Text(text) = block else { continue };
                for mark in ["**", "](", "1. ", "# ", "> "] {
                    assert!(!text.contains(mark), "{}: `{mark}` in: {text}", chapter.anchor);
                }
                assert_eq!(text.matches('`').count() % 2, 0, "{}: {text}", chapter.anchor);
            }
        }
    }
}
