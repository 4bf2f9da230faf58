use std::borrow::Cow;

/// What every variable that carries configuration begins with.
pub const VARIABLE_PREFIX: &str = "SAGEAPI_";

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number between both bounds, inclusive.
    Integer(u64, u64),
    /// A number from 0 to 1.
    Ratio,
    /// A number of bytes between both bounds, inclusive, plain or with a unit.
    Size(u64, u64),
    /// A length of time between both bounds, inclusive: a whole number and a unit.
    Time(&'static str, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text of at least this many characters.
    Text(usize),
    /// A list of [`Kind::Text`].
    Texts(usize),
    /// The path of a file.
    File,
    /// An IP address and a port to listen on.
    Address,
    /// A host name or an IP address.
    Host,
    /// An http or https URL with a host, perhaps a path, and no credentials.
    Url,
    /// An http or https URL of scheme and host alone.
    Origin,
    /// An http or https URL of a proxy, perhaps with credentials.
    Proxy,
    /// The URL of a SQLite file or a MySQL database.
    Database,
    /// The URL of a MySQL database.
    Mysql,
    /// The name of a time zone.
    TimeZone,
    /// A cron expression of five fields.
    Cron,
    /// A currency code.
    Currency,
    /// 32 bytes in base64.
    EncryptionKey,
    /// A list of [`Kind::EncryptionKey`].
    EncryptionKeys,
    /// Standard Webhooks secrets, separated by spaces.
    WebhookSecrets,
    /// A list of networks.
    Networks,
    /// A list of components that a signature can cover.
    Components,
}

impl Kind {
    /// Whether the value is a list: a YAML sequence in the file, comma-separated in the environment.
    pub const fn is_list(self) -> bool {
        matches!(self, Self::EncryptionKeys | Self::Texts(_) | Self::Networks | Self::Components)
    }

    /// The accepted values in words, to follow "give" in a message.
    pub fn accepts(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Flag => "true or false",
            Self::Integer(least, most) => return format!("a whole number from {least} to {most}").into(),
            Self::Ratio => "a number from 0 to 1",
            Self::Size(least, most) => {
                let (least, most) = (size(least), size(most));
                return format!(
                    "a size from {least} to {most} in bytes, plain or like 64KB, 512Ki, 64Mi, 1Gi"
                )
                .into();
            }
            Self::Time(least, most) => {
                return format!("a time from {least} to {most}, like 500ms, 30s, 5m, 2h, 1d").into();
            }
            Self::Choice(words) => return words.join(" or ").into(),
            Self::Text(0 | 1) => "text",
            Self::Text(least) => return format!("text of at least {least} characters").into(),
            Self::Texts(least) => {
                return format!("a list of texts, each of at least {least} characters").into();
            }
            Self::File => "the path of a file",
            Self::Address => "an IP address and a port, like 0.0.0.0:8080 or [::]:8080",
            Self::Host => "a host name or an IP address",
            Self::Url => "an http:// or https:// URL without credentials, query or fragment",
            Self::Origin => "an http:// or https:// URL of a host alone, like https://api.example.com",
            Self::Proxy => "an http:// or https:// URL, like http://user:password@proxy:3128",
            Self::Database => "sqlite:<path> or mysql://user:password@host:3306/name",
            Self::Mysql => "mysql://user:password@host:3306/name",
            Self::TimeZone => "an IANA time zone, like UTC or Asia/Shanghai",
            Self::Cron => "a cron expression of five fields, like \"*/5 * * * *\"",
            Self::Currency => "a currency of 3 to 8 capital letters, like CNY",
            Self::EncryptionKey => "32 bytes in base64, as made by: openssl rand -base64 32",
            Self::EncryptionKeys => "a list of keys, each 32 bytes in base64",
            Self::WebhookSecrets => "whsec_ and base64; several are separated by spaces",
            Self::Networks => "a list of networks, like 10.0.0.0/8 or ::1",
            Self::Components => {
                "a list of @method, @path, @query, @authority, @scheme, @target-uri, @request-target or header names in lower case"
            }
        })
    }
}

/// A number of bytes with the largest unit that divides it.
fn size(bytes: u64) -> String {
    [(30, "Gi"), (20, "Mi"), (10, "Ki")]
        .into_iter()
        .find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// One configuration key: all that file, environment, messages and documentation need to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Where it stands in the file, sections joined by dots, like `server.listen`.
    pub path: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// The value when nothing is set, as one would write it; `None`: nothing.
    pub default: Option<&'static str>,
    /// Whether the value must never be shown. A secret may also be given as a file.
    pub secret: bool,
    /// Whether a variable with `_FILE` at its end can name a file with the value.
    pub from_file: bool,
    /// Whether a change can take effect without a restart.
    pub reloadable: bool,
    /// Whether the server acts on it yet. What is not built is checked and then warned about.
    pub built: bool,
    /// What it does, in one line.
    pub doc: &'static str,
}

impl Key {
    /// A key that is unset by default, shown openly, read at start, and acted on.
    pub(crate) const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            path,
            kind,
            default: None,
            secret: false,
            from_file: false,
            reloadable: false,
            built: true,
            doc,
        }
    }

    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(crate) const fn secret(self) -> Self {
        Self { secret: true, from_file: true, ..self }
    }

    /// A secret whose file is named by a key of its own.
    pub(crate) const fn with_file_key(self) -> Self {
        Self { from_file: false, ..self }
    }

    pub(crate) const fn reloadable(self) -> Self {
        Self { reloadable: true, ..self }
    }

    pub(crate) const fn planned(self) -> Self {
        Self { built: false, ..self }
    }

    /// The environment variable that overrides the file, like `SAGEAPI_SERVER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// The variable that names a file holding the value, like `SAGEAPI_DATABASE_URL_FILE`; secrets only.
    pub fn file_variable(&self) -> Option<String> {
        self.from_file.then(|| format!("{}_FILE", self.variable()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_keys_are_joined_by_underscores_in_the_environment() {
        let key = Key::new("sync.users.every", Kind::Time("1s", "1d"), "");
        assert_eq!(key.variable(), "SAGEAPI_SYNC_USERS_EVERY");
        assert_eq!(key.file_variable(), None);
        assert_eq!(key.secret().file_variable().as_deref(), Some("SAGEAPI_SYNC_USERS_EVERY_FILE"));
    }

    #[test]
    fn accepted_sizes_are_shown_with_their_largest_unit() {
        assert_eq!([0, 1, 1 << 10, 3 << 20, 1 << 40].map(size), ["0", "1", "1Ki", "3Mi", "1024Gi"]);
    }

    #[test]
    fn accepted_words_are_listed() {
        assert_eq!(Kind::Choice(&["json", "text"]).accepts(), "json or text");
    }
}
