//! What `render` prints, without a cluster.

/// Why a manifest was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Not there yet.
    #[error("render is not there yet")]
    Missing,
}

/// Every object of a new installation, as YAML.
///
/// # Errors
/// [`RenderError`]
pub fn render(_manifest: &str, _server_image: &str) -> Result<String, RenderError> {
    Err(RenderError::Missing)
}
