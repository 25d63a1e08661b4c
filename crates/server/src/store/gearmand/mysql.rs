//! gearmand's table in MySQL or MariaDB.

use super::{Key, MysqlLogin, Op, Row, StoreError, Table, priority_of};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, TxOpts, params};
use std::path::Path;
use std::time::Duration;

/// How long the server may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where Debian's server listens for those who say `localhost`, which is no network for MySQL.
const SOCKET: &str = "/run/mysqld/mysqld.sock";

/// Characters of the columns.
const UNIQUE_CHARS: usize = 64;
const FUNCTION_CHARS: usize = 255;

/// What a row takes in a packet beside its payload, at most, in bytes.
const ROW_BYTES: usize = 16 << 10;

/// Errors that are about one row: it is there already, too long, no text of its character set, too large a packet.
const OF_A_ROW: [u16; 5] = [1062, 1153, 1264, 1366, 1406];

/// The connection to the server.
pub(super) struct MysqlTable {
    options: OptsBuilder,
    connection: Option<Conn>,
    /// Name of the table, in quotes.
    table: String,
    /// Longest payload, in bytes.
    most_bytes: usize,
}

impl MysqlTable {
    /// Connects, and makes the table if need be.
    pub(super) fn open(login: &MysqlLogin, table: &str) -> Result<Self, StoreError> {
        let socket = (login.host == "localhost" && Path::new(SOCKET).exists()).then_some(SOCKET);
        let options = OptsBuilder::new()
            .ip_or_hostname(Some(login.host.clone()))
            .tcp_port(login.port)
            .socket(socket)
            .prefer_socket(socket.is_some())
            .user(login.user.clone())
            .pass(login.password.clone())
            .db_name(login.database.clone())
            .tcp_connect_timeout(Some(PATIENCE))
            .read_timeout(Some(PATIENCE))
            .write_timeout(Some(PATIENCE));
        let table = format!("`{}`", table.replace('`', "``"));
        let mut opened = Self { options, connection: None, table, most_bytes: 0 };
        opened.prepare().map_err(|error| explain("open the queue in MySQL", &error))?;
        Ok(opened)
    }

    fn prepare(&mut self) -> mysql::Result<()> {
        let Self { table, .. } = self;
        // Uniques that differ in case only are different: a table of gearmand's own may say otherwise.
        let layout = format!(
            "CREATE TABLE IF NOT EXISTS {table} (unique_key VARCHAR(64), function_name VARCHAR(255), \
             priority INT, data LONGBLOB, when_to_run INT, UNIQUE KEY (unique_key, function_name)) \
             CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        );
        let connection = self.connect()?;
        connection.query_drop(layout)?;
        let packet: Option<usize> = connection.query_first("SELECT @@max_allowed_packet")?;
        self.most_bytes = packet.unwrap_or_default().saturating_sub(ROW_BYTES);
        Ok(())
    }

    fn connect(&mut self) -> mysql::Result<&mut Conn> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Conn::new(self.options.clone())?,
        };
        Ok(self.connection.insert(connection))
    }

    fn write_all(&mut self, ops: &[Op]) -> mysql::Result<()> {
        let put = format!(
            "INSERT INTO {} (unique_key, function_name, priority, data, when_to_run) \
             VALUES (:unique, :function, :priority, :payload, :when)",
            self.table
        );
        // The second condition looks at case, whatever the table says; the first finds the row by its key.
        let delete = format!(
            "DELETE FROM {} WHERE unique_key = :unique AND function_name = :function \
             AND BINARY unique_key = :unique AND BINARY function_name = :function",
            self.table
        );
        let mut transaction = self.connect()?.start_transaction(TxOpts::default())?;
        for op in ops {
            match op {
                Op::Put(Row { key, priority, when, payload }) => transaction.exec_drop(
                    &put,
                    params! {
                        "unique" => &key.unique[..],
                        "function" => &key.function[..],
                        "priority" => *priority as u8,
                        "payload" => &payload[..],
                        "when" => *when,
                    },
                )?,
                Op::Delete(Key { function, unique }) => transaction
                    .exec_drop(&delete, params! { "unique" => &unique[..], "function" => &function[..] })?,
            }
        }
        transaction.commit()
    }

    fn load_all(&mut self) -> mysql::Result<Vec<Row>> {
        type Columns = (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>, Option<i64>);
        let select =
            format!("SELECT unique_key, function_name, priority, data, when_to_run FROM {}", self.table);
        let rows: Vec<Columns> = self.connect()?.exec(select, ())?;
        let row = |(unique, function, priority, payload, when): Columns| {
            let bytes = |column: Option<Vec<u8>>| column.unwrap_or_default().into();
            let key = Key { unique: bytes(unique), function: bytes(function) };
            Row { key, priority: priority_of(priority), when: when.unwrap_or(0), payload: bytes(payload) }
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

impl Table for MysqlTable {
    fn accepts(&self, row: &Row) -> Result<(), StoreError> {
        super::accepts_text("MySQL", row, UNIQUE_CHARS, FUNCTION_CHARS, self.most_bytes)
    }

    fn write(&mut self, ops: &[Op]) -> Result<(), StoreError> {
        if ops.is_empty() {
            return Ok(());
        }
        self.write_all(ops).map_err(|error| {
            // A transaction that failed is taken back by the end of its connection at the latest.
            self.connection = None;
            match error {
                mysql::Error::MySqlError(error) if OF_A_ROW.contains(&error.code) => {
                    StoreError::Refused { what: error.to_string() }
                }
                error => explain("store jobs in MySQL", &error),
            }
        })
    }

    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        self.load_all().map_err(|error| explain("read the jobs in MySQL", &error))
    }
}

fn explain(doing: &'static str, error: &mysql::Error) -> StoreError {
    StoreError::Failed { doing, what: error.to_string() }
}
