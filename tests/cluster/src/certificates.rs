//! An authority of the cluster's own, made on the spot.

use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::error::{Error, Result};

/// Signs the certificates of one cluster. Files are `<name>.crt` and `<name>.key`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The key, PKCS#8 PEM.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority; its certificate is `ca.crt` in the folder, and `ca.key` its key.
    pub fn new(folder: &Path) -> Result<Self> {
        let params = || {
            let mut params = CertificateParams::new(Vec::new())?;
            params.distinguished_name = name("sageapi-test-cluster", None);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            Ok(params)
        };
        let cause = |cause| Error::Certificate { subject: "the authority".into(), cause };
        let (params, key) = (params().map_err(cause)?, KeyPair::generate().map_err(cause)?);
        let certificate = params.self_signed(&key).map_err(cause)?;
        write(&folder.join("ca.crt"), &certificate.pem())?;
        write(&folder.join("ca.key"), &key.serialize_pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned() })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A certificate by which a client is known as `user` of `group`.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<Pair> {
        self.issue(file, user, group, Vec::new())
    }

    /// A certificate of a server with these names and addresses.
    pub fn server(&self, file: &str, user: &str, names: &[&str], addresses: &[IpAddr]) -> Result<Pair> {
        let mut all = Vec::new();
        for name in names {
            let name =
                (*name).try_into().map_err(|cause| Error::Certificate { subject: user.into(), cause })?;
            all.push(SanType::DnsName(name));
        }
        all.extend(addresses.iter().copied().map(SanType::IpAddress));
        self.issue(file, user, None, all)
    }

    /// A key without a certificate, for the tokens of service accounts, and its public half.
    pub fn key(&self, file: &str) -> Result<(PathBuf, PathBuf)> {
        let key = KeyPair::generate().map_err(|cause| Error::Certificate { subject: file.into(), cause })?;
        let (private, public) =
            (self.folder.join(format!("{file}.key")), self.folder.join(format!("{file}.pub")));
        write(&private, &key.serialize_pem())?;
        write(&public, &key.public_key_pem())?;
        Ok((private, public))
    }

    fn issue(&self, file: &str, user: &str, group: Option<&str>, names: Vec<SanType>) -> Result<Pair> {
        let signed = || {
            let mut params = CertificateParams::new(Vec::new())?;
            params.distinguished_name = name(user, group);
            params.subject_alt_names = names;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &self.issuer)?;
            Ok((certificate.pem(), key.serialize_pem()))
        };
        let (certificate, key) =
            signed().map_err(|cause| Error::Certificate { subject: user.into(), cause })?;
        let pair = Pair {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        write(&pair.certificate, &certificate)?;
        write(&pair.key, &key)?;
        Ok(pair)
    }
}

fn name(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}

/// Writes a file that only its owner reads.
pub fn write(path: &Path, content: &str) -> Result<()> {
    let options = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let mut file = options.map_err(Error::at(path))?;
    std::io::Write::write_all(&mut file, content.as_bytes()).map_err(Error::at(path))
}
