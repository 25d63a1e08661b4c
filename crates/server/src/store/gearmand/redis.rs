//! gearmand's keys in redis, or in a server that speaks its protocol.
//!
//! ```text
//! PREFIX-FUNCTION-UNIQUE    a hash: data, priority, function, unique
//! ```
//!
//! gearmand 1.1 writes the first two fields and 2.0 all four; older ones wrote a string. All are read, and four fields are
//! written, which every gearmand reads.

use super::placing::{Places, forget_deleted, plain_name, split};
use super::{Key, Op, Row, StoreError, Table, priority_of};
use bytes::Bytes;
use redis::{
    Connection, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisResult, Value,
};
use std::time::Duration;

/// How long the server may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest string of a redis server in its default configuration, in bytes.
const MOST_BYTES: usize = 512 << 20;

/// Keys of one step of reading.
const STEP: usize = 1000;

/// The connection to the server.
pub(super) struct RedisTable {
    client: redis::Client,
    connection: Option<Connection>,
    prefix: Vec<u8>,
    places: Places,
}

impl RedisTable {
    /// Connects.
    pub(super) fn open(
        server: &str,
        port: u16,
        password: Option<&str>,
        prefix: &str,
    ) -> Result<Self, StoreError> {
        let doing = "connect to redis";
        let address = ConnectionAddr::Tcp(server.to_owned(), port);
        let mut settings = RedisConnectionInfo::default();
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let info = address.into_connection_info().map(|info| info.set_redis_settings(settings));
        let client = info.and_then(redis::Client::open).map_err(|error| explain(doing, &error))?;
        let prefix = format!("{prefix}-").into_bytes();
        let mut table = Self { client, connection: None, prefix, places: Places::default() };
        table.connect().map_err(|error| explain(doing, &error))?;
        Ok(table)
    }

    fn connect(&mut self) -> RedisResult<&mut Connection> {
        if self.connection.is_none() {
            let connection = self.client.get_connection_with_timeout(PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.set_write_timeout(Some(PATIENCE))?;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected).into())
    }

    /// Sends a pipeline. A connection that failed once is not used again.
    fn ask<T: redis::FromRedisValue>(&mut self, pipeline: &Pipeline) -> RedisResult<T> {
        let answer = self.connect().and_then(|connection| pipeline.query(connection));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// All keys of ours.
    fn keys(&mut self) -> RedisResult<Vec<Vec<u8>>> {
        let pattern = [&escape(&self.prefix)[..], b"*"].concat();
        let (mut cursor, mut keys) = (0_u64, Vec::new());
        loop {
            let mut step = redis::pipe();
            step.cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let ((next, some),): ((u64, Vec<Vec<u8>>),) = self.ask(&step)?;
            keys.extend(some);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        // SCAN may tell a key twice.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn read(&mut self, keys: &[Vec<u8>]) -> RedisResult<Vec<Row>> {
        let mut types = redis::pipe();
        for key in keys {
            types.cmd("TYPE").arg(key);
        }
        let types: Vec<String> = self.ask(&types)?;
        let known: Vec<(&Vec<u8>, bool)> = keys
            .iter()
            .zip(types)
            .filter_map(|(key, kind)| match kind.as_str() {
                "hash" => Some((key, true)),
                "string" => Some((key, false)),
                _ => None,
            })
            .collect();
        let mut values = redis::pipe();
        for (key, is_hash) in &known {
            if *is_hash {
                let fields = ["data", "priority", "function", "unique"];
                values.cmd("HMGET").arg(key).arg(&fields[..]);
            } else {
                values.cmd("GET").arg(key);
            }
        }
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<Value> = self.ask(&values)?;
        Ok(known.into_iter().zip(values).filter_map(|((name, _), value)| self.row(name, value)).collect())
    }

    /// The row of a key. What is none is left alone.
    fn row(&mut self, name: &[u8], value: Value) -> Option<Row> {
        let (payload, priority, function, unique) = match value {
            Value::BulkString(payload) => (payload, None, None, None),
            Value::Array(fields) => {
                let mut fields = fields.into_iter().map(|field| match field {
                    Value::BulkString(bytes) => Some(bytes),
                    _ => None,
                });
                let mut field = || fields.next().flatten();
                (field()?, field(), field(), field())
            }
            _ => return None,
        };
        let key = match (function, unique) {
            (Some(function), Some(unique)) => Key { function: function.into(), unique: unique.into() },
            _ => split(name.strip_prefix(&self.prefix[..])?)?,
        };
        self.places.note(key.clone(), Bytes::copy_from_slice(name));
        let number = priority.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
        Some(Row { key, priority: priority_of(number), when: 0, payload: payload.into() })
    }
}

/// A pattern that stands for these bytes only.
fn escape(text: &[u8]) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-');
    let escaped = |byte: &u8| if special(byte) { vec![b'\\', *byte] } else { vec![*byte] };
    text.iter().flat_map(escaped).collect()
}

impl Table for RedisTable {
    fn accepts(&self, row: &Row) -> Result<(), StoreError> {
        if row.payload.len() > MOST_BYTES {
            let what = format!("redis takes payloads of up to {MOST_BYTES} bytes");
            return Err(StoreError::Refused { what });
        }
        Ok(())
    }

    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        // One transaction: all or none, and nobody else in between.
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for op in ops {
            match op {
                Op::Put(Row { key, priority, payload, .. }) => {
                    let name = self.places.name(key, plain_name(&self.prefix, key));
                    // It may be of another kind.
                    pipeline.cmd("DEL").arg(&name[..]);
                    pipeline.cmd("HSET").arg(&name[..]).arg("data").arg(&payload[..]);
                    pipeline.arg("priority").arg(*priority as u8);
                    pipeline.arg("function").arg(&key.function[..]).arg("unique").arg(&key.unique[..]);
                }
                Op::Delete(key) => {
                    if let Some(name) = self.places.find(key) {
                        pipeline.cmd("DEL").arg(&name[..]);
                    }
                }
            }
        }
        let written: RedisResult<Vec<Value>> = self.ask(&pipeline);
        written.map_err(|error| explain("store jobs in redis", &error))?;
        forget_deleted(&mut self.places, ops);
        Ok(())
    }

    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        let explain = |error| explain("read the jobs in redis", &error);
        let keys = self.keys().map_err(explain)?;
        let mut rows = Vec::new();
        for some in keys.chunks(STEP) {
            rows.extend(self.read(some).map_err(explain)?);
        }
        Ok(rows)
    }
}

fn explain(doing: &'static str, error: &redis::RedisError) -> StoreError {
    StoreError::Failed { doing, what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_with_special_characters_stands_for_itself() {
        assert_eq!(escape(b"_gear_-"), b"_gear_\\-");
        assert_eq!(escape(b"a*[b]"), b"a\\*\\[b\\]");
    }
}
