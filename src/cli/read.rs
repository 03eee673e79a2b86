//! `tidegate manual` and `tidegate licences`: the texts that are part of the binary.

use clap::Args;
use serde_json::json;

use super::exit::{self, Failure};
use crate::front::shipped::{Chapter, chapters, licence_texts, licences, manual};

/// Print the manual.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate manual\n  tidegate manual restore")]
pub struct Manual {
    /// Only this chapter; a wrong name lists them.
    #[arg(value_name = "CHAPTER")]
    chapter: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Manual {
    pub fn run(self) -> i32 {
        let (_, all) = chapters();
        let wanted = |name: &str| self.chapter.as_deref().is_none_or(|wanted| wanted == name);
        let found: Vec<&Chapter> = all.iter().filter(|chapter| wanted(&chapter.name)).collect();
        if found.is_empty() {
            let names: Vec<&str> = all.iter().map(|chapter| chapter.name.as_str()).collect();
            let what = format!(
                "no chapter `{}`: there are {}",
                self.chapter.unwrap_or_default(),
                names.join(", ")
            );
            return Failure::new(exit::USAGE, what).tell(self.json);
        }
        if self.json {
            let chapter =
                |c: &&Chapter| json!({ "name": c.name, "title": c.title, "text": c.text });
            say!("{}", json!({ "chapters": found.iter().map(chapter).collect::<Vec<_>>() }));
        } else if self.chapter.is_none() {
            say!("{}", manual().trim_end());
        } else {
            for chapter in found {
                say!("## {}\n\n{}", chapter.title, chapter.text.trim());
            }
        }
        exit::DONE
    }
}

/// Print the licences of all that is in the binary, with their texts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate licences")]
pub struct Licences {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

impl Licences {
    pub fn run(self) -> i32 {
        if !self.json {
            say!("{}", licences().trim_end());
            return exit::DONE;
        }
        let (crates, texts) = licence_texts();
        let of_crate = |line: &str| {
            let (name, rest) = line.split_once(' ')?;
            let (version, rest) = rest.split_once("  ")?;
            let (licence, source) = rest.trim().split_once("  ").unwrap_or((rest.trim(), ""));
            Some(json!({
                "name": name, "version": version, "licence": licence.trim(), "source": source.trim(),
            }))
        };
        let texts: Vec<_> = texts
            .iter()
            .map(|text| {
                let holders: Vec<&str> = text.holders.lines().collect();
                json!({ "licence": text.kind, "holders": holders, "text": text.text })
            })
            .collect();
        let crates: Vec<_> = crates.lines().filter_map(of_crate).collect();
        say!("{}", json!({ "crates": crates, "texts": texts }));
        exit::DONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_that_are_not_there_are_a_wrong_use() {
        let ask = |chapter: &str| Manual { chapter: Some(chapter.to_owned()), json: false }.run();
        assert_eq!((ask("restore"), ask("nonsense")), (exit::DONE, exit::USAGE));
        assert_eq!(Licences { json: true }.run(), exit::DONE);
    }
}
