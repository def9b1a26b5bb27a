//! A stand-in for an RDS instance with IAM authentication. It terminates TLS and verifies the password as the service
//! does; accepted connections reach a PostgreSQL server as its superuser.

mod token;

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::lock;
use crate::{Certificate, Server};

pub use token::Role;

/// The name in the certificate and in the tokens.
pub const HOST: &str = "127.0.0.1";

/// A running stand-in; dropping it stops it.
pub struct Rds {
    port: u16,
    passwords: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Rds {
    /// Starts in front of `server`; only `role` may connect, as the database user `user`.
    pub async fn start(server: &Server, certificate: &Certificate, role: Role, user: &'static str) -> Result<Self> {
        let tls = certificate.acceptor()?;
        let listener = TcpListener::bind((HOST, 0)).await?;
        let (port, behind) = (listener.local_addr()?.port(), server.port());
        let passwords = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&passwords);
        let server = JoinSet::from_iter([async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, role, seen) = (tls.clone(), role.clone(), Arc::clone(&seen));
                let verify = move |password: &str| {
                    lock(&seen).push(password.to_owned());
                    role.verify(password, &format!("{HOST}:{port}"), user)
                };
                // The client reports errors of its connection.
                tokio::spawn(async move { drop(serve(stream, tls, verify, user, behind).await) });
            }
        }]);
        Ok(Self { port, passwords, _server: server })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the passwords that clients have sent, accepted or not, in order.
    pub fn passwords(&self) -> Vec<String> {
        lock(&self.passwords).clone()
    }
}

/// Serves one connection. <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn serve(
    mut stream: TcpStream,
    tls: TlsAcceptor,
    verify: impl Fn(&str) -> Result<()>,
    user: &str,
    behind: u16,
) -> Result<()> {
    ensure!(untyped(&mut stream).await? == 80_877_103_u32.to_be_bytes()[..], "not an SSLRequest");
    stream.write_all(b"S").await?;
    let mut client = tls.accept(stream).await?;

    let startup = untyped(&mut client).await?;
    client.write_all(&message(b'R', &3_u32.to_be_bytes())).await?;
    ensure!(client.read_u8().await? == b'p', "not a password");
    let password = untyped(&mut client).await?;
    if let Err(fault) = verify(str::from_utf8(&password)?.trim_end_matches('\0')) {
        let fault = format!("SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user \"{user}\": {fault}\0\0");
        client.write_all(&message(b'E', fault.as_bytes())).await?;
        return Ok(client.shutdown().await?);
    }

    let mut server = TcpStream::connect((HOST, behind)).await?;
    let startup = String::from_utf8(startup.to_vec())?;
    let startup = startup.replace(&format!("user\0{user}\0"), "user\0postgres\0");
    server.write_all(&message(0, startup.as_bytes())[1..]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Reads the content of a message without a type, or after its type.
async fn untyped(stream: &mut (impl AsyncRead + Unpin)) -> Result<Bytes> {
    let length = usize::try_from(stream.read_u32().await?)?.checked_sub(4).context("the length is less than 4")?;
    ensure!(length < 10_000, "a message of {length} bytes");
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await?;
    Ok(content.into())
}

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap_or_default().to_be_bytes();
    [&[kind], &length[..], content].concat()
}
