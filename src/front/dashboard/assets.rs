//! The files beside the pages: style, scripts, icon; part of the binary, named by their content.
//!
//! A name holds a hash of the bytes, so it may be cached for ever and never shows old content.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// What [`asset`] answers may be cached for ever.
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// Every page is sent with this policy: nothing inline, nothing from elsewhere.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// The style of all pages.
pub const STYLE: &str = "tidegate.css";
/// Sets the theme before the first paint; loaded in the head.
pub const THEME: &str = "theme.js";
/// Refreshes pages and copies text; loaded deferred.
pub const LIVE: &str = "live.js";
/// The mark in the browser's tab.
pub const ICON: &str = "favicon.svg";

struct Asset {
    name: &'static str,
    url: String,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:expr, $file:literal, $content_type:literal) => {
        Asset::new($name, $content_type, include_bytes!(concat!("../../../data/assets/", $file)))
    };
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        file!(STYLE, "tidegate.css", "text/css; charset=utf-8"),
        file!(THEME, "theme.js", "text/javascript; charset=utf-8"),
        file!(LIVE, "live.js", "text/javascript; charset=utf-8"),
        file!(ICON, "favicon.svg", "image/svg+xml"),
    ]
});

impl Asset {
    fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
        let hash: String =
            Sha256::digest(bytes).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        let (stem, extension) = name.split_once('.').unwrap_or((name, "bin"));
        let url = format!("/assets/{stem}-{hash}.{extension}");
        Asset { name, url, content_type, bytes }
    }
}

/// The content type and the bytes behind `path`, which is a whole path such as [`url`] gives.
pub fn asset(path: &str) -> Option<(&'static str, &'static [u8])> {
    let asset = ASSETS.iter().find(|asset| asset.url == path)?;
    Some((asset.content_type, asset.bytes))
}

/// The path under which the file `name` is served; empty for a name that is not ours.
pub fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// All paths that [`asset`] knows.
pub fn urls() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.url.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_leads_to_its_file() {
        for name in [STYLE, THEME, LIVE, ICON] {
            let (content_type, bytes) = asset(url(name)).unwrap();
            assert!(!bytes.is_empty() && content_type.contains('/'), "{name}");
        }
        assert_eq!(asset("/assets/tidegate.css"), None);
        assert_eq!(url("other.css"), "");
        assert_eq!(urls().count(), 4);
    }

    #[test]
    fn assets_load_nothing_from_elsewhere() {
        for url in urls() {
            let (_, bytes) = asset(url).unwrap();
            let text =
                std::str::from_utf8(bytes).unwrap().replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http:") && !text.contains("https:"), "{url}");
            assert!(!text.contains("@import") && !text.contains("url("), "{url}");
        }
    }

    /// The dark colours stand twice, for the system's choice and for the reader's.
    #[test]
    fn both_dark_themes_are_equal() {
        let (_, bytes) = asset(url(STYLE)).unwrap();
        let css = std::str::from_utf8(bytes).unwrap();
        let block = |start: &str| -> Vec<&str> {
            let from = css.find(start).unwrap() + start.len();
            css[from..].split('}').next().unwrap().split_whitespace().collect()
        };
        let system = block(":root:not([data-theme=\"light\"]) {");
        assert_eq!(system, block(":root[data-theme=\"dark\"] {"));
        assert!(system.len() > 20);
    }
}
