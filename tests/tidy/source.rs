//! Rust source as the checks see it: words with their lines, without comments and literals.

/// A file of the repository.
pub struct File {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    /// The words of a Rust file; empty for others.
    pub words: Vec<Word>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    pub line: usize,
    /// A name, a number, `::`, or a single sign.
    pub text: String,
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        let words = if path.ends_with(".rs") { words(&blanked(text)) } else { Vec::new() };
        File { path: path.to_owned(), text: text.to_owned(), words }
    }

    /// The words from `at` on are `pattern`.
    pub fn matches(&self, at: usize, pattern: &[&str]) -> bool {
        let rest = self.words[at..].iter().map(|word| word.text.as_str());
        self.words.len() - at >= pattern.len() && rest.take(pattern.len()).eq(pattern.to_vec())
    }

    /// Lines of all places where the words are `pattern`.
    pub fn lines_of(&self, pattern: &[&str]) -> impl Iterator<Item = usize> {
        (0..self.words.len()).filter(|at| self.matches(*at, pattern)).map(|at| self.words[at].line)
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(code: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for (index, mut rest) in code.lines().enumerate() {
        while let Some(first) = rest.chars().next() {
            let len = match first {
                c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            if !first.is_whitespace() {
                words.push(Word { line: index + 1, text: rest[..len].to_owned() });
            }
            rest = &rest[len..];
        }
    }
    words
}

/// `text` with comments and the contents of literals turned into blanks; lines stay lines.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match literal_or_comment(&chars, at) {
            Some(end) => end,
            // A name is copied whole, so that its last letter is not taken for the `r` of `r"`.
            None if is_name(chars[at]) => {
                let rest = chars[at..].iter().take_while(|c| is_name(**c));
                let end = at + rest.count();
                out.extend(&chars[at..end]);
                at = end;
                continue;
            }
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// The end of the comment or literal that starts at `at`, if one does.
fn literal_or_comment(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    let len = if starts("//") {
        rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
    } else if starts("/*") {
        block_comment(rest)
    } else if starts("\"") {
        quoted(rest, 1)
    } else if starts("b\"") || starts("c\"") {
        quoted(rest, 2)
    } else if starts("'") {
        match rest {
            ['\'', '\\', _, tail @ ..] => 3 + tail.iter().position(|c| *c == '\'')? + 1,
            ['\'', _, '\'', ..] => 3,
            // A lifetime or a label.
            _ => return None,
        }
    } else if starts("r") || starts("br") || starts("cr") {
        raw(rest, if starts("r") { 1 } else { 2 })?
    } else {
        return None;
    };
    Some(at + len)
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            [_, ..] => at += 1,
            [] => return at,
        }
        if depth == 0 {
            return at;
        }
    }
}

fn quoted(rest: &[char], mut at: usize) -> usize {
    loop {
        match rest.get(at) {
            Some('\\') => at += 2,
            Some('"') => return at + 1,
            Some(_) => at += 1,
            None => return rest.len(),
        }
    }
}

fn raw(rest: &[char], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return None;
    }
    let close = |at: &usize| {
        rest[*at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    (body..rest.len()).find(close).map(|at| at + 1 + hashes)
}

#[test]
fn comments_and_literals_are_blank() {
    for (text, left) in [
        ("a // b\nc", "a c"),
        ("a /* b /* c */ d */ e", "a e"),
        (r#"a "b \" c" d"#, "a d"),
        ("a r#\"b \" c\"# d", "a d"),
        ("a br\"b\\\" d", "a d"),
        (r"a 'b' '\'' '\u{1f}' 'c d", "a ' c d"),
        ("var\"b\" d", "var d"),
        ("/// [`b`]\nuse a::{c};", "use a :: { c } ;"),
    ] {
        let words: Vec<String> = words(&blanked(text)).into_iter().map(|word| word.text).collect();
        assert_eq!(words.join(" "), left, "{text}");
    }
    assert_eq!(File::new("a.rs", "/*\n*/ b").words, [Word { line: 2, text: "b".into() }]);
}
