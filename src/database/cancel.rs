//! Cancels a query in a way that a pooler forwards.
//!
//! tokio-postgres closes the connection right after it has sent the cancel request. PostgreSQL reads the request anyway, but
//! `PgBouncer` drops cancel requests whose client has disconnected (measured: none got through). So the connection stays
//! open until the server closes it, as with libpq.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_postgres::{
    CancelToken, Config, Error as PgError, NoTls,
    config::Host,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

use super::Tls;

/// Sends a cancel request for the token's connection over a separate connection, and returns once the server has processed
/// it.
///
/// # Errors
///
/// If the server cannot be reached. The server does not report whether there was anything to cancel.
pub async fn cancel(token: CancelToken, config: &Config, tls: Option<&Tls>) -> Result<(), PgError> {
    if let Some(tls) = tls {
        return token.cancel_query(LingeringStream(tls.connector())).await;
    }
    if let Some(address) = address(config)
        && let Ok(stream) = TcpStream::connect(address).await
    {
        return token.cancel_query_raw(LingeringStream(stream), NoTls).await;
    }
    token.cancel_query(NoTls).await
}

/// The only address that unencrypted settings lead to. Of several, only tokio-postgres knows which one it connected to.
fn address(config: &Config) -> Option<(String, u16)> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match (config.get_hosts(), config.get_hostaddrs()) {
        (_, [address]) => Some((address.to_string(), port)),
        ([Host::Tcp(host)], []) => Some((host.clone(), port)),
        _ => None,
    }
}

/// A stream whose shutdown waits until the server has closed it, and the TLS connectors that create such streams.
struct LingeringStream<T>(T);

impl<S: AsyncRead + Unpin> AsyncRead for LingeringStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [0; 64];
        loop {
            let mut response = ReadBuf::new(&mut buffer);
            let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut response));
            // TLS reports a close without close_notify as an error; either way the connection is closed.
            if read.is_err() || response.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for LingeringStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<S, M: MakeTlsConnect<S>> MakeTlsConnect<S> for LingeringStream<M>
where
    M::TlsConnect: Send + 'static,
    <M::TlsConnect as TlsConnect<S>>::Future: Send + 'static,
{
    type Stream = LingeringStream<M::Stream>;
    type TlsConnect = LingeringStream<M::TlsConnect>;
    type Error = M::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        self.0.make_tls_connect(domain).map(LingeringStream)
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for LingeringStream<T>
where
    T::Future: Send + 'static,
{
    type Stream = LingeringStream<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(LingeringStream) })
    }
}
