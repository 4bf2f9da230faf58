//! Image references: `registry:5000/path/name:tag@sha256:...`.

use sageapi_crds::Image;

/// An image, all of it decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageRef {
    /// Reads a whole reference.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest.to_owned())),
            None => (text, None),
        };
        let name_at = text.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match text[name_at..].split_once(':') {
            Some((name, tag)) => (&text[..name_at + name.len()], Some(tag.to_owned())),
            None => (text, None),
        };
        Self { repository: repository.to_owned(), tag, digest }.checked()
    }

    /// What the specification asks for; what it leaves open is as in `default`.
    pub fn of(asked: Option<&Image>, default: &Self) -> Result<Self, &'static str> {
        let Some(Image { repository, tag, digest, pull_policy: _, pull_secrets: _ }) = asked else {
            return Ok(default.clone());
        };
        let open = tag.is_none() && digest.is_none();
        Self {
            repository: repository.clone().unwrap_or_else(|| default.repository.clone()),
            tag: if open { default.tag.clone() } else { tag.clone() },
            // The default's digest is that of its own repository's image.
            digest: if open && repository.is_none() { default.digest.clone() } else { digest.clone() },
        }
        .checked()
    }

    /// The reference as in a pod.
    pub fn reference(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}{tag}{digest}", self.repository)
    }

    /// What to call it: the tag, else the beginning of the digest.
    pub fn version(&self) -> String {
        let digest = || self.digest.as_deref()?.split_once(':')?.1.get(..12).map(str::to_owned);
        self.tag.clone().or_else(digest).unwrap_or_else(|| "latest".to_owned())
    }

    fn checked(self) -> Result<Self, &'static str> {
        if !is_repository(&self.repository) {
            return Err("the repository is not an image repository, like registry.example.com/team/name");
        }
        if self.tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err("the tag is not an image tag: letters, digits, _, . and -, at most 128");
        }
        if self.digest.as_deref().is_some_and(|digest| !is_digest(digest)) {
            return Err("the digest is not an image digest, like sha256: and 64 hex digits");
        }
        Ok(self)
    }
}

fn is_repository(text: &str) -> bool {
    let mut parts: Vec<&str> = text.split('/').collect();
    if parts.len() > 1 && parts[0].contains(['.', ':']) || parts[0] == "localhost" {
        let (host, port) = parts[0].split_once(':').unwrap_or((parts[0], "1"));
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        if host.is_empty() || !host.bytes().all(is_host) || port.parse::<u16>().is_err() {
            return false;
        }
        parts.remove(0);
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let component = |part: &&str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(plain)
            && bytes.last().copied().is_some_and(plain)
            && bytes.iter().all(|b| plain(*b) || matches!(b, b'.' | b'_' | b'-'))
    };
    text.len() <= 255 && !parts.is_empty() && parts.iter().all(component)
}

fn is_tag(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= 128
        && bytes.first().copied().is_some_and(first)
        && bytes.iter().all(|b| first(*b) || matches!(b, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        format!("sha256:{}", "ab".repeat(32))
    }

    #[test]
    fn references_are_read_and_written_alike() {
        let pinned = format!("r.example.com:5000/a/b:1.2@{}", digest());
        for text in ["sageapi.io/sageapi-server:0.1.0", "localhost:5000/x", "x:1", "a/b/c_d:v1-x", &pinned] {
            assert_eq!(ImageRef::parse(text).unwrap().reference(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "UPPER/x",
            "a b",
            "x:",
            "x:sp ace",
            "x@sha256:12",
            "r.example.com:port/x",
            "a//b",
            "-a",
            "x@md5:ab",
        ] {
            assert!(ImageRef::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_the_operators() {
        let default = ImageRef::parse("sageapi.io/sageapi-server:0.1.0").unwrap();
        let of = |image: Image| ImageRef::of(Some(&image), &default).unwrap().reference();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(ImageRef::of(None, &default).unwrap(), default);
        assert_eq!(of(Image { repository: text("mirror/s"), ..Image::default() }), "mirror/s:0.1.0");
        assert_eq!(of(Image { tag: text("0.2.0"), ..Image::default() }), "sageapi.io/sageapi-server:0.2.0");
        let pinned = of(Image { digest: Some(digest()), ..Image::default() });
        assert_eq!(pinned, format!("sageapi.io/sageapi-server@{}", digest()));
    }

    #[test]
    fn the_version_is_the_tag_or_else_the_digest() {
        assert_eq!(ImageRef::parse("x:1.2").unwrap().version(), "1.2");
        assert_eq!(ImageRef::parse(&format!("x@{}", digest())).unwrap().version(), "abababababab");
    }
}
