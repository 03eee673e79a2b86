//! The trace context of a caller (W3C Trace Context): what of it is passed on, and what is dropped.
//!
//! Tidegate has no spans of its own, so both headers are handed to whoever works on the run as they
//! came. What breaks the standard is dropped and never refused: a run must not fail for its trace.

/// Longest state that is kept, in characters: what the standard asks everybody to pass on.
const STATE_MAX: usize = 512;
/// Most members of a state.
const MEMBERS_MAX: usize = 32;
/// Longest key and longest value of a member.
const PART_MAX: usize = 256;
/// Longest system of a key `tenant@system`, and longest tenant.
const SYSTEM_MAX: usize = 14;
const TENANT_MAX: usize = 241;

/// Where a run belongs in the traces of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `traceparent`: version, trace id, parent id, flags.
    pub parent: String,
    /// `tracestate`: what tracing systems tell each other, opaque here.
    pub state: Option<String>,
}

impl Trace {
    /// Reads the lines of the two headers. There is no trace without one good parent, and no state
    /// unless all of it is good: half a state could tell a system what it never said.
    pub fn read<'a>(
        mut parents: impl Iterator<Item = &'a [u8]>,
        states: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Trace> {
        let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
        let parent = std::str::from_utf8(parent).ok().map(str::trim).filter(|p| is_parent(p))?;
        let state = states.collect::<Vec<_>>().join(&b',');
        let state = String::from_utf8(state).ok().filter(|state| is_state(state));
        Some(Trace { parent: parent.to_owned(), state })
    }

    /// The names and values that it is told with.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.state.as_deref().map(|state| ("tracestate", state));
        [("traceparent", &*self.parent)].into_iter().chain(state)
    }
}

/// Fields that later versions may append are not known, so such a parent is not either.
fn is_parent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    hex(version, 2)
        && version != "ff"
        && (hex(trace, 32) && some(trace))
        && (hex(parent, 16) && some(parent))
        && hex(flags, 2)
}

/// A list of members, some of which may be empty, but not all.
fn is_state(text: &str) -> bool {
    let members = || text.split(',').map(|part| part.trim_matches([' ', '\t']));
    let count = members().filter(|member| !member.is_empty()).count();
    text.len() <= STATE_MAX
        && (1..=MEMBERS_MAX).contains(&count)
        && members().filter(|member| !member.is_empty()).all(is_member)
}

fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else { return false };
    // Blanks at its end belong to the list; `=` and `,` would begin another part.
    let value_is_good = (1..=PART_MAX).contains(&value.len())
        && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=' && b != b',');
    is_key(key) && value_is_good
}

fn is_key(key: &str) -> bool {
    let word = |part: &str, max: usize, digit_first: bool| {
        let first = part.bytes().next();
        first.is_some_and(|b| b.is_ascii_lowercase() || digit_first && b.is_ascii_digit())
            && part.len() <= max
            && part
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    match key.split_once('@') {
        None => word(key, PART_MAX, false),
        Some((tenant, system)) => word(tenant, TENANT_MAX, true) && word(system, SYSTEM_MAX, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(parents: &[&str], states: &[&str]) -> Option<Trace> {
        Trace::read(parents.iter().map(|p| p.as_bytes()), states.iter().map(|s| s.as_bytes()))
    }

    /// What becomes of a state.
    fn state(states: &[&str]) -> Option<String> {
        read(&[PARENT], states).expect("its parent is good").state
    }

    #[test]
    fn good_parents_are_kept_and_others_dropped() {
        let with = |from: &str, to: &str| PARENT.replacen(from, to, 1);
        for good in
            [PARENT.to_owned(), with("-01", "-00"), with("00-", "cc-"), format!(" {PARENT} ")]
        {
            let trace = read(&[&good], &[]).unwrap_or_else(|| panic!("{good} was dropped"));
            assert_eq!(trace, Trace { parent: good.trim().to_owned(), state: None });
        }
        let none = with("b7ad6b7169203331", "0000000000000000");
        for bad in [
            String::new(),
            "nonsense".to_owned(),
            with("00-", "ff-"),
            with("0af7", "0AF7"),
            with("0af7", "0gf7"),
            with("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            none,
            format!("{PARENT}-more"),
            format!("{PARENT} x"),
            PARENT.replace('-', "_"),
        ] {
            assert_eq!(read(&[&bad], &["a=1"]), None, "{bad}");
        }
        assert_eq!(read(&[], &["a=1"]), None, "a state alone says nothing");
        assert_eq!(read(&[PARENT, PARENT], &[]), None, "which of them?");
        assert_eq!(Trace::read([&[0xff][..]].into_iter(), std::iter::empty()), None);
    }

    #[test]
    fn good_states_are_kept_as_they_came() {
        let most = (0..32).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let long = format!("a={},b={}", "x".repeat(256), "y".repeat(251));
        assert_eq!(long.len(), 512);
        for good in [
            "rojo=00f067aa0ba902b7",
            "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
            "0tenant-x@sys=1 2!~",
            "a_-*/9=1 ,\t b=2,, ",
            "a=1,a=2",
            &most,
            &long,
        ] {
            assert_eq!(state(&[good]).as_deref(), Some(good));
        }
        assert_eq!(state(&["a=1", "b=2,c=3"]).as_deref(), Some("a=1,b=2,c=3"));
    }

    #[test]
    fn bad_states_are_dropped_whole() {
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let long = format!("a={},b={}", "x".repeat(256), "y".repeat(252));
        let long_key = format!("{}=1", "k".repeat(257));
        let long_system = format!("t@{}=1", "s".repeat(15));
        let wide = format!("a={}", "x".repeat(257));
        for bad in [
            "",
            " , ",
            "a",
            "a=",
            "=1",
            "a=1,b",
            "A=1",
            "1a=1",
            "a b=1",
            "a =1",
            "a=b=c",
            "a=ä",
            "a=\u{7f}",
            "a=\u{1}",
            "@s=1",
            "t@=1",
            "t@1s=1",
            "t@s@u=1",
            &many,
            &long,
            &long_key,
            &long_system,
            &wide,
        ] {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        assert_eq!(state(&["a=1", "broken"]), None, "all lines are one list");
        assert_eq!(state(&[]), None);
    }

    #[test]
    fn it_is_told_under_the_names_of_the_standard() {
        let told =
            |trace: &Trace| trace.fields().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>();
        let alone = read(&[PARENT], &[]).unwrap();
        assert_eq!(told(&alone), [format!("traceparent: {PARENT}")]);
        let both = read(&[PARENT], &["a=1"]).unwrap();
        assert_eq!(told(&both), [format!("traceparent: {PARENT}"), "tracestate: a=1".to_owned()]);
    }
}
