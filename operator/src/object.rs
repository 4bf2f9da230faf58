//! Objects: as they should be ([`Object`]), as they are ([`Live`]), and which one is meant ([`ObjectRef`]).

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kinds::Kind;

/// A child object as it should be. It is serialised once, when it is rendered.
#[derive(Clone, PartialEq)]
pub struct Object {
    kind: Kind,
    metadata: ObjectMeta,
    body: Arc<Value>,
}

impl Object {
    /// The object, with an annotation that is computed from its JSON.
    pub fn annotated<K>(object: &K, name: &str, value: impl FnOnce(&Value) -> String) -> Self
    where
        K: k8s_openapi::Resource + Resource<DynamicType = ()> + Serialize,
    {
        // Kubernetes' own types can always be serialised.
        let mut body = serde_json::to_value(object).unwrap_or_default();
        let mut metadata = object.meta().clone();
        metadata.annotations.get_or_insert_default().insert(name.to_owned(), value(&body));
        body["metadata"] = serde_json::to_value(&metadata).unwrap_or_default();
        Self { kind: Kind::of::<K>(), metadata, body: Arc::new(body) }
    }

    /// The object as a dry run prints it: without its data and annotations.
    #[must_use]
    pub fn without_data(&self) -> Self {
        let (mut metadata, mut body) = (self.metadata.clone(), Value::clone(&self.body));
        metadata.annotations = None;
        if let Some(members) = body.as_object_mut() {
            members.shift_remove("data");
            members.insert("metadata".to_owned(), serde_json::to_value(&metadata).unwrap_or_default());
        }
        Self { kind: self.kind, metadata, body: Arc::new(body) }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its metadata.
    pub const fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The whole object as JSON, `apiVersion` and `kind` included.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// Which object it is. Its namespace is that of the resource.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind, name: self.name().to_owned(), uid: None }
    }
}

/// Kind and name alone: an object may hold secrets.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name())
    }
}

/// An object as it was last seen. Its JSON is shared with the cache, and decoded once, if its content is needed.
pub struct Live {
    kind: Kind,
    metadata: ObjectMeta,
    json: Arc<[u8]>,
    decoded: OnceLock<Option<Box<dyn Any + Send + Sync>>>,
}

impl Live {
    /// What the cache keeps of an object.
    pub fn read(kind: Kind, object: DynamicObject) -> serde_json::Result<Self> {
        Self::parse(kind, kind.keep(object)?.into())
    }

    /// The object that the cache kept as this JSON.
    pub fn parse(kind: Kind, json: Arc<[u8]>) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Partial {
            metadata: ObjectMeta,
        }
        let Partial { metadata } = serde_json::from_slice(&json)?;
        Ok(Self { kind, metadata, json, decoded: OnceLock::new() })
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its metadata.
    pub const fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// The object as its own type; `None` if it is of another one.
    pub fn decoded<K>(&self) -> Option<&K>
    where
        K: k8s_openapi::Resource + DeserializeOwned + Send + Sync + 'static,
    {
        if Kind::of::<K>() != self.kind {
            return None;
        }
        let decode = || {
            let object: K = serde_json::from_slice(&self.json).ok()?;
            Some(Box::new(object) as Box<dyn Any + Send + Sync>)
        };
        self.decoded.get_or_init(decode).as_ref()?.downcast_ref()
    }

    /// Its JSON.
    pub const fn json(&self) -> &Arc<[u8]> {
        &self.json
    }

    /// Its JSON, parsed.
    pub fn to_value(&self) -> serde_json::Result<Value> {
        serde_json::from_slice(&self.json)
    }
}

/// Kind and name alone: an object may hold secrets.
impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.metadata.name.as_deref().unwrap_or_default())
    }
}

/// Which object, in the namespace of the resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its UID, if one object and no later one of the same name is meant: for deletions.
    pub uid: Option<String>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
