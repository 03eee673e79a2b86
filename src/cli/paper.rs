//! Manual pages and shell completions, out of the one description of the command line: a hidden verb,
//! for who builds packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit;

/// Write manual pages and shell completions.
#[derive(Debug, Args)]
pub struct Paper {
    /// Directory to write them to.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Paper {
    pub fn run(self, command: Command) -> i32 {
        match write(&self.dir, command) {
            Ok(()) => exit::DONE,
            Err(error) => {
                eprintln!("tidegate: `{}`: {error}", self.dir.display());
                exit::FAILED
            }
        }
    }
}

fn write(dir: &Path, mut command: Command) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "tidegate", dir)?;
    }
    // Then what a verb calls itself is `tidegate-backup`.
    command.build();
    page(dir, "tidegate", command.clone())?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("tidegate-{}", verb.get_name());
        if verb.get_name() != "help" {
            page(dir, &name, verb.clone())?;
        }
    }
    Ok(())
}

fn page(dir: &Path, name: &str, command: Command) -> std::io::Result<()> {
    let mut file = File::create(dir.join(format!("{name}.1")))?;
    clap_mangen::Man::new(command).render(&mut file)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_verb_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        super::write(dir.path(), crate::cli::Arguments::command()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        for verb in ["serve", "backup", "restore", "verify", "doctor"] {
            assert!(read(&format!("tidegate-{verb}.1")).contains("Example"), "{verb}");
            assert!(read("tidegate.bash").contains(verb), "{verb}");
        }
        assert!(!dir.path().join("tidegate-paper.1").exists(), "it is hidden");
    }
}
