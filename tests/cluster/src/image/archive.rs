//! The OCI image layout in a tar file, with the index that older engines read beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::error::{Error, Result};

/// A file system's worth of entries, in the order of their names.
#[derive(Default)]
pub struct Layer {
    entries: BTreeMap<String, (Content, u32)>,
}

enum Content {
    Folder,
    Text(Vec<u8>),
    File(PathBuf),
}

impl Layer {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A folder. Those of files that are added later need not be named.
    pub fn folder(&mut self, name: &str, mode: u32) {
        self.entries.insert(format!("{name}/"), (Content::Folder, mode));
    }

    /// A file with this text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.entries.insert(name.to_owned(), (Content::Text(text.into()), 0o644));
    }

    /// A copy of a file.
    pub fn file(&mut self, name: &str, from: &Path, mode: u32) {
        self.entries.insert(name.to_owned(), (Content::File(from.to_owned()), mode));
    }

    /// As a tar file.
    fn bytes(self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (name, (content, mode)) in self.entries {
            let (kind, bytes) = match content {
                Content::Folder => (EntryType::Directory, Vec::new()),
                Content::Text(text) => (EntryType::Regular, text),
                Content::File(path) => (EntryType::Regular, std::fs::read(&path).map_err(Error::at(path))?),
            };
            append(&mut tar, &name, kind, mode, &bytes).map_err(Error::at(name))?;
        }
        tar.into_inner().map_err(Error::at("a layer"))
    }
}

/// An archive that is being written. It gets its name when it is whole.
pub struct Layout {
    tar: Builder<File>,
    path: PathBuf,
    layers: Vec<Value>,
    digests: Vec<String>,
}

impl Layout {
    /// Begins an archive.
    pub fn create(path: &Path) -> Result<Self> {
        let partial = partial(path);
        let file = File::create(&partial).map_err(Error::at(partial))?;
        Ok(Self { tar: Builder::new(file), path: path.to_owned(), layers: Vec::new(), digests: Vec::new() })
    }

    /// Adds a layer; its size.
    pub fn layer(&mut self, layer: Layer) -> Result<u64> {
        let bytes = layer.bytes()?;
        let descriptor = self.blob("application/vnd.oci.image.layer.v1.tar", &bytes)?;
        // Layers are not compressed, so that the digest of the content is that of the blob.
        self.digests.push(descriptor["digest"].as_str().unwrap_or_default().to_owned());
        self.layers.push(descriptor);
        Ok(bytes.len() as u64)
    }

    /// Writes what names the layers.
    pub fn finish(mut self, reference: &str, config: &Value) -> Result<()> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": self.digests},
            "history": self.digests.iter().map(|_| json!({"created_by": "make images"})).collect::<Vec<_>>(),
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
        let legacy = json!([{
            "Config": blob_path(&config),
            "RepoTags": [reference],
            "Layers": self.layers.iter().map(blob_path).collect::<Vec<_>>(),
        }]);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": self.layers,
        });
        let mut manifest =
            self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())?;
        manifest["annotations"] = json!({
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
        });
        manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest],
        });
        self.entry("index.json", index.to_string().as_bytes())?;
        self.entry("manifest.json", legacy.to_string().as_bytes())?;
        self.entry("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        self.tar.finish().map_err(Error::at(&self.path))?;
        std::fs::rename(partial(&self.path), &self.path).map_err(Error::at(&self.path))
    }

    /// Adds a blob; its descriptor.
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Result<Value> {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.entry(&format!("blobs/sha256/{digest}"), bytes)?;
        Ok(json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        append(&mut self.tar, name, EntryType::Regular, 0o644, bytes).map_err(Error::at(&self.path))
    }
}

fn blob_path(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension("tar.partial")
}

/// An entry of root's, of no particular time.
fn append<W: std::io::Write>(
    tar: &mut Builder<W>,
    name: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn written(folder: &Path) -> Vec<u8> {
        let path = folder.join("it.tar");
        let mut layer = Layer::new();
        layer.folder("tmp", 0o1777);
        layer.text("etc/passwd", "root:x:0:0::/:/\n");
        let mut layout = Layout::create(&path).unwrap();
        layout.layer(layer).unwrap();
        layout.finish("sageapi.io/it:1.2.3", &json!({"User": "65532:65532"})).unwrap();
        std::fs::read(path).unwrap()
    }

    fn entries(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap();
        let read = entries.map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        read.collect()
    }

    #[test]
    fn everything_that_the_index_leads_to_is_in_the_archive_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let entries = entries(&written(folder.path()));
        let read = |name: &str| -> Value { serde_json::from_slice(&entries[name]).unwrap() };
        let index = read("index.json");
        let image = &index["manifests"][0];
        assert_eq!(image["annotations"]["io.containerd.image.name"], "sageapi.io/it:1.2.3");
        let manifest = read(&blob_path(image));
        let config = read(&blob_path(&manifest["config"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["config"]["User"], "65532:65532");
        for (name, bytes) in &entries {
            if let Some(digest) = name.strip_prefix("blobs/sha256/") {
                let is: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(digest, is);
            }
        }
        let layer = self::entries(&entries[&blob_path(&manifest["layers"][0])]);
        assert_eq!(layer.keys().collect::<Vec<_>>(), ["etc/passwd", "tmp/"]);
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(written(one.path()), written(other.path()));
    }
}
