//! A TCP proxy that keeps what clients say, and can cut their connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

/// The proxy; ends with its owner.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<u8>>>,
    cut: broadcast::Sender<()>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (cut, _) = broadcast::channel(1);
        let (kept, cutter) = (Arc::clone(&said), cut.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (kept, mut cut) = (Arc::clone(&kept), cutter.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = relay(client, to, kept) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { address, said, cut, task: task.abort_handle() }
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        let _ = self.cut.send(());
    }

    /// The types of the packets that clients sent; the text of others must not be among them.
    pub(crate) fn packets(&self) -> Vec<u32> {
        let said = self.said.lock().unwrap().clone();
        let mut rest = said.as_slice();
        let mut kinds = Vec::new();
        while let Some((header, behind)) = rest.split_at_checked(12) {
            assert_eq!(&header[..4], b"\0REQ");
            let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
            kinds.push(number(4));
            rest = behind.get(number(8) as usize..).unwrap_or_default();
        }
        kinds
    }
}

async fn relay(client: TcpStream, to: SocketAddr, kept: Arc<Mutex<Vec<u8>>>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}
