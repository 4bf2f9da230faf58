//! Container images without a container engine: a binary, the shared libraries that it needs, and
//! little else, as an OCI archive that `ctr images import`, `docker load` and `skopeo` read.

mod archive;
mod libraries;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};
use archive::{Layer, Layout};

/// Who a container runs as; a number, so that Kubernetes can tell that it is not root.
const USER: u32 = 65_532;
/// Where a Linux system keeps the certificates of the authorities that it trusts.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image that was written.
#[derive(Debug, Clone)]
pub struct Image {
    /// The archive.
    pub path: PathBuf,
    /// Its name, like `sageapi.io/sageapi-server:0.1.0`.
    pub reference: String,
    /// Bytes of all layers, which is what a node keeps; they are not compressed.
    pub size: u64,
}

/// Writes `<folder>/<binary>.tar`. The same binary on the same system gives the same bytes.
pub fn write(binary: &Path, version: &str, folder: &Path) -> Result<Image> {
    let name = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reference = format!("sageapi.io/{name}:{version}");
    let program = format!("usr/local/bin/{name}");

    let mut base = Layer::new();
    base.folder("tmp", 0o1777);
    for folder in ["etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/local", "usr/local/bin"] {
        base.folder(folder, 0o755);
    }
    base.text("etc/passwd", &format!("root:x:0:0::/:/\nsageapi:x:{USER}:{USER}::/tmp:/\n"));
    base.text("etc/group", &format!("root:x:0:\nsageapi:x:{USER}:\n"));
    let certificates = Path::new(CERTIFICATES);
    if !certificates.exists() {
        return Err(Error::Missing(format!(
            "{CERTIFICATES} is missing; install it with: apt-get install -y ca-certificates"
        )));
    }
    base.file("etc/ssl/certs/ca-certificates.crt", certificates, 0o644);
    for library in libraries::of(binary)? {
        // Where the binary looks for it, whatever link that is here.
        base.file(library.to_string_lossy().trim_start_matches('/'), &library, 0o755);
    }
    let mut own = Layer::new();
    own.file(&program, binary, 0o755);

    std::fs::create_dir_all(folder).map_err(Error::at(folder))?;
    let path = folder.join(format!("{name}.tar"));
    let config = json!({
        "User": format!("{USER}:{USER}"),
        "Entrypoint": [format!("/{program}")],
        "Env": ["PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        "WorkingDir": "/tmp",
        "Labels": {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    });
    let mut layout = Layout::create(&path)?;
    let size = layout.layer(base)? + layout.layer(own)?;
    layout.finish(&reference, &config)?;
    Ok(Image { path, reference, size })
}
