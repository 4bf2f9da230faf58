/// What is watched.
#[derive(Debug, Clone)]
pub struct Scope {
    /// These namespaces; all of them if empty.
    pub namespaces: Vec<String>,
    /// Whether Secrets may be watched; otherwise they are read again from time to time.
    pub secrets: SecretsAccess,
}

/// What the operator may do with Secrets that it did not create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SecretsAccess {
    /// Watch their metadata: changes are seen at once
    Watch,
    /// Only read the ones referred to, once a minute
    Get,
}
