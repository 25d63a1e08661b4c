//! gearmand's table in PostgreSQL.

use super::{Key, Op, Row, StoreError, Table, priority_of};
use bytes::Bytes;
use postgres::config::Host;
use postgres::{Client, Config, NoTls};
use std::collections::HashSet;
use std::time::Duration;

/// How long the server may take to accept a connection, or what was sent to it, before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where Debian's server listens for those who name no host.
const SOCKET: &str = "/var/run/postgresql";

/// Longest payload, in bytes: a value of PostgreSQL is below 1 GiB, and so is all that is sent at once.
const MOST_BYTES: usize = 512 << 20;

/// Payloads of one statement, in bytes, about.
const STATEMENT_BYTES: usize = 64 << 20;

/// Characters of the columns.
const UNIQUE_CHARS: usize = 64;
const FUNCTION_CHARS: usize = 255;

/// The connection to the server.
pub(super) struct PostgresTable {
    config: Config,
    client: Option<Client>,
    /// Name of the table, in quotes.
    table: String,
}

/// Steps of one kind that make one statement.
enum Step<'a> {
    Put(Vec<&'a Row>),
    Delete(Vec<&'a Key>),
}

impl PostgresTable {
    /// Connects as libpq would, and makes the table if need be.
    pub(super) fn open(conninfo: &str, table: &str) -> Result<Self, StoreError> {
        let explain = |error| explain("open the queue in PostgreSQL", &error);
        let mut config: Config = conninfo.parse().map_err(explain)?;
        if config.get_hosts().is_empty() {
            let host = std::env::var("PGHOST").unwrap_or_else(|_| SOCKET.to_owned());
            config.host(&host);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_))) {
            config.tcp_user_timeout(PATIENCE);
        }
        // As PostgreSQL reads a name without quotes.
        let quoted = |part: &str| format!("\"{}\"", part.to_lowercase().replace('"', "\"\""));
        let table = table.split('.').map(quoted).collect::<Vec<_>>().join(".");
        let mut opened = Self { config, client: None, table };
        opened.prepare().map_err(explain)?;
        Ok(opened)
    }

    fn prepare(&mut self) -> Result<(), postgres::Error> {
        let Self { table, .. } = self;
        let layout = format!(
            "CREATE TABLE IF NOT EXISTS {table} (unique_key VARCHAR(64), function_name VARCHAR(255), \
             priority INTEGER, data BYTEA, when_to_run INTEGER, UNIQUE (unique_key, function_name))"
        );
        self.connect()?.batch_execute(&layout)
    }

    fn connect(&mut self) -> Result<&mut Client, postgres::Error> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.config.connect(NoTls)?,
        };
        Ok(self.client.insert(client))
    }

    fn write_all(&mut self, ops: &[Op]) -> Result<(), postgres::Error> {
        let put = format!(
            "INSERT INTO {0} (unique_key, function_name, priority, data, when_to_run) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bytea[], $5::int[]) \
             ON CONFLICT (unique_key, function_name) DO UPDATE SET priority = excluded.priority, \
             data = excluded.data, when_to_run = excluded.when_to_run",
            self.table
        );
        let delete = format!(
            "DELETE FROM {} USING unnest($1::text[], $2::text[]) AS gone (u, f) \
             WHERE unique_key = u AND function_name = f",
            self.table
        );
        let mut transaction = self.connect()?.transaction()?;
        for step in steps(ops) {
            match step {
                Step::Put(rows) => {
                    let uniques: Vec<&str> = rows.iter().map(|row| text(&row.key.unique)).collect();
                    let functions: Vec<&str> = rows.iter().map(|row| text(&row.key.function)).collect();
                    let priorities: Vec<i32> = rows.iter().map(|row| row.priority as i32).collect();
                    let payloads: Vec<&[u8]> = rows.iter().map(|row| &row.payload[..]).collect();
                    let times: Vec<i32> =
                        rows.iter().map(|row| i32::try_from(row.when).unwrap_or(0)).collect();
                    transaction.execute(&put, &[&uniques, &functions, &priorities, &payloads, &times])?;
                }
                Step::Delete(keys) => {
                    let uniques: Vec<&str> = keys.iter().map(|key| text(&key.unique)).collect();
                    let functions: Vec<&str> = keys.iter().map(|key| text(&key.function)).collect();
                    transaction.execute(&delete, &[&uniques, &functions])?;
                }
            }
        }
        transaction.commit()
    }

    fn load_all(&mut self) -> Result<Vec<Row>, postgres::Error> {
        let select = format!(
            "SELECT unique_key::text, function_name::text, priority, data, when_to_run FROM {} ORDER BY ctid",
            self.table
        );
        let rows = self.connect()?.query(&select, &[])?;
        rows.iter()
            .map(|row| {
                let text = |column| -> Result<Bytes, postgres::Error> {
                    Ok(row.try_get::<_, Option<String>>(column)?.unwrap_or_default().into())
                };
                let key = Key { unique: text(0)?, function: text(1)? };
                let priority = priority_of(row.try_get::<_, Option<i32>>(2)?.map(i64::from));
                let payload = row.try_get::<_, Option<Vec<u8>>>(3)?.unwrap_or_default().into();
                let when = row.try_get::<_, Option<i32>>(4)?.map_or(0, i64::from);
                Ok(Row { key, priority, when, payload })
            })
            .collect()
    }
}

/// Names were looked at by [`Table::accepts`].
fn text(name: &Bytes) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

/// As few statements as possible. None of them touches a row twice.
fn steps(ops: &[Op]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let (mut keys, mut bytes) = (HashSet::new(), 0);
    for op in ops {
        let (key, size) = match op {
            Op::Put(row) => (&row.key, row.payload.len()),
            Op::Delete(key) => (key, 0),
        };
        bytes += size;
        let fits = keys.insert(key) && bytes <= STATEMENT_BYTES;
        match (op, steps.last_mut()) {
            (Op::Put(row), Some(Step::Put(rows))) if fits => rows.push(row),
            (Op::Delete(key), Some(Step::Delete(deleted))) if fits => deleted.push(key),
            (op, _) => {
                steps.push(match op {
                    Op::Put(row) => Step::Put(vec![row]),
                    Op::Delete(key) => Step::Delete(vec![key]),
                });
                (keys, bytes) = (HashSet::from([key]), size);
            }
        }
    }
    steps
}

impl Table for PostgresTable {
    fn accepts(&self, row: &Row) -> Result<(), StoreError> {
        super::accepts_text("PostgreSQL", row, UNIQUE_CHARS, FUNCTION_CHARS, MOST_BYTES)
    }

    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        self.write_all(ops).map_err(|error| {
            let code = error.as_db_error().map(|error| error.code().code().to_owned());
            // Data that cannot be, a broken constraint, a limit of the program: another job may do.
            if code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))) {
                return StoreError::Refused { what: words(&error) };
            }
            self.client = None;
            explain("store jobs in PostgreSQL", &error)
        })
    }

    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        self.load_all().map_err(|error| explain("read the jobs in PostgreSQL", &error))
    }
}

/// The error with its cause, which says what is wrong.
fn words(error: &postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn explain(doing: &'static str, error: &postgres::Error) -> StoreError {
    StoreError::Failed { doing, what: words(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conveyor_common::Priority;

    #[test]
    fn steps_of_one_kind_are_one_statement_unless_they_touch_a_row_twice() {
        let key = |unique: &'static str| Key { function: "f".into(), unique: unique.into() };
        let put = |unique| {
            Op::Put(Row { key: key(unique), priority: Priority::Low, when: 0, payload: Bytes::new() })
        };
        let ops = [put("a"), put("b"), put("a"), Op::Delete(key("a")), Op::Delete(key("c")), put("a")];
        let sizes: Vec<(bool, usize)> = steps(&ops)
            .iter()
            .map(|step| match step {
                Step::Put(rows) => (true, rows.len()),
                Step::Delete(keys) => (false, keys.len()),
            })
            .collect();
        assert_eq!(sizes, [(true, 2), (true, 1), (false, 2), (true, 1)]);
    }
}
