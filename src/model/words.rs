//! Kinds that are a number on disk and a word everywhere else.

/// Gives an enum its words, and the way back from word and number.
macro_rules! words {
    ($type:ident { $($variant:ident $word:literal),* $(,)? }) => {
        impl $type {
            pub const ALL: &[$type] = &[$($type::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }

            pub fn parse(text: &str) -> Option<$type> {
                match text { $($word => Some($type::$variant),)* _ => None }
            }

            pub fn from_number(number: u8) -> Option<$type> {
                $type::ALL.iter().copied().find(|found| *found as u8 == number)
            }
        }
    };
}

pub(super) use words;
