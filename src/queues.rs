//! Options of gearmand's own stores, under the names they have there.

use conveyor_server::store::gearmand::{GearmandStore, MysqlLogin, Place};
use std::path::PathBuf;
use std::time::Duration;

/// Which of gearmand's stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Redis,
    Memcached,
    Postgres,
    Mysql,
}

/// Names of `--queue-type` for gearmand's stores.
const KINDS: &[(&str, Kind)] = &[
    ("libsqlite3", Kind::Sqlite),
    ("redis", Kind::Redis),
    ("libmemcached", Kind::Memcached),
    ("postgres", Kind::Postgres),
    ("mysql", Kind::Mysql),
];

impl Kind {
    /// The store with this name; case does not matter.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

/// Where gearmand's stores are.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Stores of gearmand")]
pub(crate) struct QueueArgs {
    /// File of --queue-type libsqlite3
    #[arg(long, value_name = "FILE")]
    pub(crate) libsqlite3_db: Option<PathBuf>,
    /// Table in it (default: gearman_queue)
    #[arg(long, value_name = "TABLE")]
    pub(crate) libsqlite3_table: Option<String>,
    /// With libsqlite3: write background jobs when the server stops, and not while it runs
    #[arg(long)]
    pub(crate) store_queue_on_shutdown: bool,
    /// Server of --queue-type redis (default: 127.0.0.1)
    #[arg(long, value_name = "HOST")]
    pub(crate) redis_server: Option<String>,
    /// Its port (default: 6379)
    #[arg(long, value_name = "PORT")]
    pub(crate) redis_port: Option<u16>,
    /// Its password
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) redis_password: Option<String>,
    /// What the keys begin with (default: _gear_)
    #[arg(long, value_name = "PREFIX")]
    pub(crate) redis_prefix: Option<String>,
    /// Server of --queue-type libmemcached: HOST or HOST:PORT
    #[arg(long, value_name = "SERVER")]
    pub(crate) libmemcached_servers: Option<String>,
    /// What the keys begin with (default: gear_)
    #[arg(long, value_name = "PREFIX")]
    pub(crate) libmemcached_prefix: Option<String>,
    /// How to reach the server of --queue-type postgres, such as 'host=db user=gearman dbname=jobs' (default: the local
    /// socket)
    #[arg(long, value_name = "CONNINFO")]
    pub(crate) libpq_conninfo: Option<String>,
    /// Table there (default: queue)
    #[arg(long, value_name = "TABLE")]
    pub(crate) libpq_table: Option<String>,
    /// Server of --queue-type mysql (default: localhost)
    #[arg(long, value_name = "HOST")]
    pub(crate) mysql_host: Option<String>,
    /// Its port (default: 3306)
    #[arg(long, value_name = "PORT")]
    pub(crate) mysql_port: Option<u16>,
    /// User there
    #[arg(long, value_name = "USER")]
    pub(crate) mysql_user: Option<String>,
    /// Password of the user
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) mysql_password: Option<String>,
    /// Database there
    #[arg(long, value_name = "DATABASE")]
    pub(crate) mysql_db: Option<String>,
    /// Table in it (default: gearman_queue)
    #[arg(long, value_name = "TABLE")]
    pub(crate) mysql_table: Option<String>,
    /// How long submissions wait for a store that cannot be reached before they are refused
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=3600))]
    pub(crate) queue_retry: u32,
}

/// Names and whether a value follows, for gearmand's command line.
pub(crate) const OPTIONS: &[(&str, bool)] = &[
    ("libmemcached-prefix", true),
    ("libmemcached-servers", true),
    ("libpq-conninfo", true),
    ("libpq-table", true),
    ("libsqlite3-db", true),
    ("libsqlite3-table", true),
    ("mysql-db", true),
    ("mysql-host", true),
    ("mysql-password", true),
    ("mysql-port", true),
    ("mysql-table", true),
    ("mysql-user", true),
    ("queue-retry", true),
    ("redis-password", true),
    ("redis-port", true),
    ("redis-prefix", true),
    ("redis-server", true),
    ("store-queue-on-shutdown", false),
];

impl QueueArgs {
    /// Sets an option of [`OPTIONS`] that has a value.
    ///
    /// # Errors
    /// There is none of that name, or the value cannot be.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let text = Some(value.to_owned());
        let invalid = || format!("the argument ('{value}') for option '--{name}' is invalid");
        match name {
            "libsqlite3-db" => self.libsqlite3_db = Some(value.into()),
            "libsqlite3-table" => self.libsqlite3_table = text,
            "redis-server" => self.redis_server = text,
            "redis-port" => self.redis_port = Some(value.parse().map_err(|_| invalid())?),
            "redis-password" => self.redis_password = text,
            "redis-prefix" => self.redis_prefix = text,
            "libmemcached-servers" => self.libmemcached_servers = text,
            "libmemcached-prefix" => self.libmemcached_prefix = text,
            "libpq-conninfo" => self.libpq_conninfo = text,
            "libpq-table" => self.libpq_table = text,
            "mysql-host" => self.mysql_host = text,
            "mysql-port" => self.mysql_port = Some(value.parse().map_err(|_| invalid())?),
            "mysql-user" => self.mysql_user = text,
            "mysql-password" => self.mysql_password = text,
            "mysql-db" => self.mysql_db = text,
            "mysql-table" => self.mysql_table = text,
            "queue-retry" => self.queue_retry = value.parse().map_err(|_| invalid())?,
            _ => return Err(format!("unrecognised option '--{name}'")),
        }
        Ok(())
    }

    /// What the options mean for a kind of store.
    ///
    /// # Errors
    /// A required one is missing.
    pub(crate) fn resolve(&self, kind: Kind) -> Result<GearmandStore, String> {
        let or = |value: &Option<String>, otherwise: &str| value.clone().unwrap_or(otherwise.to_owned());
        let place = match kind {
            Kind::Sqlite => Place::Sqlite {
                file: self
                    .libsqlite3_db
                    .clone()
                    .ok_or("missing required --libsqlite3-db=<dbfile> argument".to_owned())?,
                table: or(&self.libsqlite3_table, "gearman_queue"),
            },
            Kind::Redis => Place::Redis {
                server: or(&self.redis_server, "127.0.0.1"),
                port: self.redis_port.unwrap_or(6379),
                password: self.redis_password.clone(),
                prefix: or(&self.redis_prefix, "_gear_"),
            },
            Kind::Postgres => Place::Postgres {
                conninfo: self.libpq_conninfo.clone().unwrap_or_default(),
                table: or(&self.libpq_table, "queue"),
            },
            Kind::Mysql => Place::Mysql {
                login: MysqlLogin {
                    host: or(&self.mysql_host, "localhost"),
                    port: self.mysql_port.unwrap_or(3306),
                    user: self.mysql_user.clone(),
                    password: self.mysql_password.clone(),
                    database: self.mysql_db.clone(),
                },
                table: or(&self.mysql_table, "gearman_queue"),
            },
            Kind::Memcached => {
                let server = self.libmemcached_servers.clone();
                let server = server.ok_or("missing required --libmemcached-servers=HOST:PORT argument")?;
                if server.contains(',') {
                    return Err("--libmemcached-servers: name one server, jobs are not spread over several"
                        .to_owned());
                }
                Place::Memcached { server, prefix: or(&self.libmemcached_prefix, "gear_") }
            }
        };
        Ok(GearmandStore {
            place,
            on_shutdown: self.store_queue_on_shutdown && kind == Kind::Sqlite,
            patience: Duration::from_secs(self.queue_retry.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_gearmand_in_any_case() {
        assert_eq!(Kind::from_name("LibSQLite3"), Some(Kind::Sqlite));
        assert_eq!(Kind::from_name("sqlite"), None);
    }

    #[test]
    fn the_file_of_libsqlite3_is_required_and_its_table_is_not() {
        let mut args = QueueArgs::default();
        assert_eq!(
            args.resolve(Kind::Sqlite).unwrap_err(),
            "missing required --libsqlite3-db=<dbfile> argument"
        );
        args.set("libsqlite3-db", "/q.db").unwrap();
        let place = Place::Sqlite { file: "/q.db".into(), table: "gearman_queue".to_owned() };
        let expected = GearmandStore { place, on_shutdown: false, patience: Duration::ZERO };
        assert_eq!(args.resolve(Kind::Sqlite).unwrap(), expected);
    }
}
