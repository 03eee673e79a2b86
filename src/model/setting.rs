//! A setting in effect, as people read it: its key, its value in words, and where it came from.

/// Where a setting came from; a later one wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    #[default]
    Default,
    File,
    Environment,
    Flag,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As in the file, for example `server.http`.
    pub key: String,
    /// Empty for nothing; `set` for a secret.
    pub value: String,
    pub origin: Origin,
    /// The value that is in force after a restart, where it differs.
    pub pending: Option<String>,
}
