//! How the programs of a control plane are called, on loopback and on a node alike.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::certificates::{self, Authority, Pair};
use crate::error::Result;
use crate::kubeconfig;

/// The range of Services' addresses; the first is the API server's.
pub const SERVICES: &str = "10.96.0.0/16";
/// The API server's address as a Service.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// Every request once it is answered, without bodies: who, what, which, and how it ended. Not those of
/// the API server to itself.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}]
}"#;

/// Everything by which a control plane's programs know one another.
pub struct Settings {
    /// Certificates, kubeconfigs and logs.
    pub folder: PathBuf,
    /// Signs.
    pub authority: Authority,
    /// Where the API server listens.
    pub address: IpAddr,
    /// The API server's port.
    pub port: u16,
    /// etcd's port for clients, on loopback.
    pub etcd: u16,
    /// etcd's port for peers, on loopback.
    pub peers: u16,
    server: Pair,
    /// By which the API server goes to kubelets.
    kubelet_client: Pair,
    /// Sign and verify the tokens of service accounts.
    token_keys: (PathBuf, PathBuf),
}

impl Settings {
    /// Makes the certificates, and kubeconfigs of the administrator and of the controllers.
    pub fn prepare(folder: &Path, address: IpAddr, port: u16, etcd: u16, peers: u16) -> Result<Self> {
        let authority = Authority::new(folder)?;
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let addresses = [address, Ipv4Addr::LOCALHOST.into(), API_SERVICE.into()];
        let server = authority.server("apiserver", "kube-apiserver", &names, &addresses)?;
        let kubelet_client = authority.client("kubelet-client", "kube-apiserver", Some("system:masters"))?;
        let token_keys = authority.key("service-accounts")?;
        certificates::write(&folder.join("audit-policy.yaml"), AUDIT_POLICY)?;
        let settings = Self {
            folder: folder.to_owned(),
            authority,
            address,
            port,
            etcd,
            peers,
            server,
            kubelet_client,
            token_keys,
        };
        settings.client("admin", "admin", Some("system:masters"))?;
        settings.client("controller-manager", "system:kube-controller-manager", None)?;
        Ok(settings)
    }

    /// Writes `<file>.kubeconfig` of a user.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let pair = self.authority.client(file, user, group)?;
        let path = self.kubeconfig(file);
        kubeconfig::write(&path, &self.url(), &self.authority, &pair)?;
        Ok(path)
    }

    /// The path of `<file>.kubeconfig`.
    pub fn kubeconfig(&self, file: &str) -> PathBuf {
        self.folder.join(format!("{file}.kubeconfig"))
    }

    /// Where the API server writes what it was asked.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// The API server's URL.
    pub fn url(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    /// Options of etcd. Its data need not survive a power cut.
    pub fn etcd_options(&self) -> Vec<String> {
        let (clients, peers) =
            (format!("http://127.0.0.1:{}", self.etcd), format!("http://127.0.0.1:{}", self.peers));
        vec![
            "--name=default".into(),
            format!("--data-dir={}", self.folder.join("etcd").display()),
            "--unsafe-no-fsync".into(),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--log-level=warn".into(),
        ]
    }

    /// Options of kube-apiserver.
    pub fn api_server_options(&self) -> Vec<String> {
        let ca = self.authority.certificate();
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd),
            format!("--bind-address={}", self.address),
            format!("--advertise-address={}", self.address),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", self.server.certificate.display()),
            format!("--tls-private-key-file={}", self.server.key.display()),
            format!("--client-ca-file={}", ca.display()),
            format!("--kubelet-client-certificate={}", self.kubelet_client.certificate.display()),
            format!("--kubelet-client-key={}", self.kubelet_client.key.display()),
            "--kubelet-preferred-address-types=InternalIP".into(),
            "--authorization-mode=Node,RBAC".into(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            format!("--service-account-key-file={}", self.token_keys.1.display()),
            format!("--service-account-signing-key-file={}", self.token_keys.0.display()),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--allow-privileged=true".into(),
            format!("--audit-policy-file={}", self.folder.join("audit-policy.yaml").display()),
            format!("--audit-log-path={}", self.audit_log().display()),
            // One file, not rotated, and each event in it about when its request is answered.
            "--audit-log-maxsize=4096".into(),
            "--audit-log-mode=blocking".into(),
        ]
    }

    /// Options of kube-controller-manager.
    pub fn controller_manager_options(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig("controller-manager").display()),
            format!("--service-account-private-key-file={}", self.token_keys.0.display()),
            format!("--root-ca-file={}", self.authority.certificate().display()),
            "--use-service-account-credentials".into(),
            "--leader-elect=false".into(),
            "--bind-address=127.0.0.1".into(),
            // Nobody asks it anything.
            "--secure-port=0".into(),
            // Tests make many objects at once; the defaults are for sparing a large cluster.
            "--kube-api-qps=2000".into(),
            "--kube-api-burst=4000".into(),
        ]
    }
}
