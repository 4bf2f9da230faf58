use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sageapi_crds::{Service as AskedService, ServiceType};

use super::context::{Context, HTTP, sealed};
use crate::labels;
use crate::object::Object;
use crate::validate::Validated;

const PORT: i32 = 80;

/// The API's address. The admin port is not in it.
pub fn service(context: &Context<'_>) -> Object {
    let default = AskedService::default();
    let AskedService { type_, port, annotations } =
        context.validated.spec.service.as_ref().unwrap_or(&default);
    let type_ = match type_.unwrap_or(ServiceType::ClusterIp) {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let mut metadata = context.owned(context.name(), labels::COMPONENT_SERVER);
    metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
    let service = Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.to_owned()),
            selector: Some(labels::selector(context.name())),
            ports: Some(vec![ServicePort {
                name: Some(HTTP.to_owned()),
                port: port.unwrap_or(PORT),
                target_port: Some(IntOrString::String(HTTP.to_owned())),
                protocol: Some("TCP".to_owned()),
                app_protocol: Some("http".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    sealed(&service, None)
}

/// The API's address: the public one, or else the Service's.
pub fn url(validated: &Validated) -> String {
    if let Some(url) = validated.spec.server.as_ref().and_then(|server| server.public_url.as_ref()) {
        return url.trim_end_matches('/').to_owned();
    }
    let port = validated.spec.service.as_ref().and_then(|service| service.port).unwrap_or(PORT);
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!("http://{}.{}.svc{port}", validated.name, validated.namespace)
}
