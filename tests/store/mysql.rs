//! MariaDB: one table, as gearmand makes it and as we do.

use crate::carry_over::{SUBMIT_JOB_BG, Who, drain, stop};
use crate::promises::{self, Subject};
use crate::servers::Backend;
use crate::{gearmand_store, outage};
use conveyor_server::store::gearmand::{MysqlLogin, Place};

/// What gearmand 1.1 makes.
const LAYOUT: &str = "CREATE TABLE gearman_queue (unique_key VARCHAR(64), function_name VARCHAR(255), priority INT, \
                      data LONGBLOB, when_to_run INT, unique key (unique_key, function_name))";

fn options(backend: &Backend) -> Vec<String> {
    let port = format!("--mysql-port={}", backend.port);
    ["--queue-type=MySQL", "--mysql-host=127.0.0.1", &port, "--mysql-user=root", "--mysql-db=mysql"]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn mysql_keeps_its_promises_and_reads_a_table_of_gearmand() {
    let mut backend = Backend::mariadb();
    let fresh = |name: &str| {
        let login = MysqlLogin {
            host: "127.0.0.1".to_owned(),
            port: backend.port,
            user: Some("root".to_owned()),
            password: None,
            database: Some("mysql".to_owned()),
        };
        gearmand_store(Place::Mysql { login, table: format!("table-{name}") })
    };
    promises::check(&Subject { fresh: &fresh, in_order: false, any_bytes: false });

    let options = options(&backend);
    backend.mariadb_cli(LAYOUT);
    backend
        .mariadb_cli("INSERT INTO gearman_queue VALUES ('u1', 'f', 2, 'low', 0), ('u2', 'f', 0, 'high', 0)");
    let server = Who::Conveyor.start(&options);
    let mut client = server.connect();
    // The table of gearmand takes no notice of case: the second one is refused, and overwrites nothing.
    client.send(SUBMIT_JOB_BG, &[b"g", b"case", b"1"]);
    client.send(SUBMIT_JOB_BG, &[b"g", b"CASE", b"2"]);
    assert_eq!([client.receive().0, client.receive().0], [8, 19]);
    let payloads: Vec<Vec<u8>> = drain(&server, &["f"]).into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads, [&b"high"[..], b"low"]);
    stop(server);
    assert_eq!(
        backend
            .mariadb_cli("SELECT unique_key, function_name, priority, data, when_to_run FROM gearman_queue"),
        "case\tg\t1\t1\t0"
    );
    backend.mariadb_cli("DELETE FROM gearman_queue");
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    outage::check(&mut backend, &words);
    outage::check_patience(&mut backend, &words);
}
