//! The body of a page: rows are computed and written as the connection takes them, one chunk at a time.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use http_body::{Body, Frame};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::changes::Planned;
use crate::clock::rfc3339;
use crate::entity::Entity;
use crate::fault::BadRow;
use crate::listener::Broken;
use crate::world::World;

const CHUNK: usize = 32 * 1024;

/// What follows the rows.
pub(crate) struct Tail {
    /// The cursor to go on from; none for rows asked for by id.
    pub(crate) next: Option<String>,
    pub(crate) has_more: bool,
    pub(crate) server_time_us: i64,
}

/// One page on its way.
pub(crate) struct PageBody {
    world: World,
    entity: Entity,
    rows: IntoIter<Planned>,
    tail: Option<Tail>,
    /// What is wrong with the first row.
    bad: Option<BadRow>,
    started: bool,
}

#[derive(Serialize)]
struct Envelope<'a, D> {
    id: &'a str,
    op: &'static str,
    version: u64,
    updated_at: String,
    data: D,
}

impl PageBody {
    pub(crate) fn new(
        world: World,
        entity: Entity,
        rows: Vec<Planned>,
        tail: Tail,
        bad: Option<BadRow>,
    ) -> Self {
        Self { world, entity, rows: rows.into_iter(), tail: Some(tail), bad, started: false }
    }

    /// Writes until a chunk is full or all is written; `false` when there is nothing left to write.
    fn write_chunk(&mut self, out: &mut Vec<u8>) -> std::io::Result<bool> {
        if self.tail.is_none() {
            return Ok(false);
        }
        let mut first = !self.started;
        if first {
            out.extend_from_slice(br#"{"status":"ok","data":{"rows":["#);
            self.started = true;
        }
        while out.len() < CHUNK {
            let Some(row) = self.rows.next() else {
                if let Some(tail) = self.tail.take() {
                    out.extend_from_slice(br#"],"next":"#);
                    serde_json::to_writer(&mut *out, &tail.next)?;
                    let time = rfc3339(tail.server_time_us);
                    write!(out, r#","has_more":{},"server_time":"{time}"}}}}"#, tail.has_more)?;
                }
                break;
            };
            if !first {
                out.push(b',');
            }
            first = false;
            match self.bad.take() {
                Some(what) => self.write_bad_row(out, &row, what)?,
                None => self.write_row(out, &row)?,
            }
        }
        Ok(true)
    }

    fn write_row(&self, out: &mut Vec<u8>, row: &Planned) -> std::io::Result<()> {
        let id = self.id(row);
        let (id, version, updated_at) = (&*id, row.version, rfc3339(row.updated_us));
        if row.deleted {
            let row = Envelope { id, op: "delete", version, updated_at, data: Value::Null };
            return Ok(serde_json::to_writer(out, &row)?);
        }
        if row.set.is_none() && row.id.is_none() {
            let data = self.world.row(self.entity, row.index, row.revision);
            return Ok(serde_json::to_writer(
                out,
                &Envelope { id, op: "upsert", version, updated_at, data },
            )?);
        }
        let data = self.overwritten(id, row)?;
        Ok(serde_json::to_writer(out, &Envelope { id, op: "upsert", version, updated_at, data })?)
    }

    /// The columns with what was set by command: rows touched so are few, a detour costs nothing.
    fn overwritten(&self, id: &str, row: &Planned) -> serde_json::Result<Value> {
        let mut data = serde_json::to_value(self.world.row(self.entity, row.index, row.revision))?;
        if let Some(columns) = data.as_object_mut() {
            for key in ["id", "customer_id"] {
                if let Some(own) = columns.get_mut(key) {
                    *own = id.into();
                }
            }
            for (name, value) in row.set.iter().flat_map(|set| set.iter()) {
                columns.insert(name.clone(), value.clone());
            }
        }
        Ok(data)
    }

    fn write_bad_row(&self, out: &mut Vec<u8>, row: &Planned, what: BadRow) -> std::io::Result<()> {
        let mut whole = serde_json::json!({
            "id": &*self.id(row),
            "op": "upsert",
            "version": row.version,
            "updated_at": rfc3339(row.updated_us),
            "data": self.world.row(self.entity, row.index, row.revision),
        });
        match what {
            BadRow::Data => {
                let wrong = serde_json::json!({"id": &*self.id(row), "name": 42, "username": ["not", "text"], "orgid": {}});
                whole["data"] = wrong;
            }
            BadRow::NoData => whole["data"] = Value::Null,
            BadRow::Version => whole["version"] = "new".into(),
            BadRow::Op => whole["op"] = "replace".into(),
            BadRow::Id => whole["id"] = "x".repeat(65).into(),
            BadRow::Null => whole = Value::Null,
        }
        Ok(serde_json::to_writer(out, &whole)?)
    }

    fn id(&self, row: &Planned) -> Arc<str> {
        row.id.clone().unwrap_or_else(|| self.world.id(self.entity, row.index).into())
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut chunk = Vec::with_capacity(CHUNK + 4096);
        Poll::Ready(match self.write_chunk(&mut chunk) {
            Ok(true) => Some(Ok(Frame::data(chunk.into()))),
            Ok(false) => None,
            // Writing to memory and serializing plain rows do not fail; if they do, the client must notice.
            Err(_) => Some(Err(Broken)),
        })
    }
}
