//! What runs beside the control plane on a node: scheduler, kubelet, the proxy of Services, and names.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{ADDRESS, NAME, Place, runtime};
use crate::components::Settings;
use crate::error::{Error, Result};
use crate::tools::Tool;

/// Writes their configurations; their options.
pub fn prepare(place: &Place, settings: &Settings) -> Result<Vec<(Tool, Vec<String>)>> {
    let folder = place.folder().join("services");
    std::fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
    let write = |name: &str, text: String| -> Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::at(&path))?;
        Ok(path.display().to_string())
    };
    let shown = |path: PathBuf| path.display().to_string();

    let scheduler = shown(settings.client("scheduler", "system:kube-scheduler", None)?);
    let node = shown(settings.client("kubelet", &format!("system:node:{NAME}"), Some("system:nodes"))?);
    let proxy = shown(settings.client("proxy", "system:kube-proxy", None)?);
    let names = shown(settings.client("names", "names", Some("system:masters"))?);

    let resolver = write("resolv.conf", format!("nameserver {ADDRESS}\n"))?;
    let kubelet = write("kubelet.yaml", kubelet(place, settings, &resolver)?.to_string())?;
    let proxy = write("proxy.yaml", self::proxy(&proxy).to_string())?;
    let corefile = write("Corefile", corefile(&names))?;

    Ok(vec![
        (
            Tool::KubeScheduler,
            vec![
                format!("--kubeconfig={scheduler}"),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
            ],
        ),
        (
            Tool::Kubelet,
            vec![
                format!("--config={kubelet}"),
                format!("--kubeconfig={node}"),
                format!("--root-dir={}", place.folder().join("kubelet").display()),
                format!("--cert-dir={}", place.folder().join("kubelet/certificates").display()),
                format!("--hostname-override={NAME}"),
                format!("--node-ip={ADDRESS}"),
            ],
        ),
        (Tool::KubeProxy, vec![format!("--config={proxy}"), format!("--hostname-override={NAME}")]),
        (Tool::CoreDns, vec![format!("-conf={corefile}")]),
    ])
}

fn kubelet(place: &Place, settings: &Settings, resolver: &str) -> Result<Value> {
    let server = settings.authority.server("kubelet-server", NAME, &[NAME], &[ADDRESS.into()])?;
    let at = |name: &str| place.folder().join("kubelet").join(name);
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": settings.authority.certificate()},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": server.certificate,
        "tlsPrivateKeyFile": server.key,
        "containerRuntimeEndpoint": format!("unix://{}", runtime::socket(place).display()),
        "cgroupDriver": "cgroupfs",
        // Its pods' own, so that what is left of a killed node can be told from anything else.
        "cgroupRoot": place.control_group(),
        "failCgroupV1": false,
        "failSwapOn": false,
        // A nearly full disk is no reason to throw out pods, or the images that nobody could bring back.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolver,
        "podLogsDir": at("logs"),
        "volumePluginDir": at("plugins"),
    }))
}

fn proxy(kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": runtime::PODS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // It may not change the machine's own settings.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

fn corefile(kubeconfig: &str) -> String {
    format!(
        ".:53 {{\n  bind {ADDRESS}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {kubeconfig}\n  }}\n  cache 5\n}}\n"
    )
}
