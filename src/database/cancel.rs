//! Cancels a query in a way that a pooler forwards.
//!
//! tokio-postgres closes the connection right after it has sent the cancel request. PostgreSQL reads the request anyway, but
//! `PgBouncer` drops cancel requests whose client has disconnected (measured: none got through). So the connection stays
//! open until the server closes it, as with libpq.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_postgres::{
    CancelToken, Client, Config, Error as PgError, NoTls,
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

/// The process of the server that a cancel request for the connection would name, as the server said when the connection was
/// opened. tokio-postgres only writes it into the request, so one is written and not sent.
pub fn process_id(client: &Client) -> Option<i32> {
    let mut request = Request(Vec::new());
    client.cancel_token().cancel_query_raw(&mut request, NoHandshake).now_or_never()?.ok()?;
    // Length, code, process and key, four bytes each.
    let process_id = request.0.last_chunk::<16>()?[8..12].try_into().ok()?;
    Some(i32::from_be_bytes(process_id))
}

/// A stream that keeps what is written, and accepts TLS.
struct Request(Vec<u8>);

impl AsyncRead for Request {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buf.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Request {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for &mut Request {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// TLS without encryption.
struct NoHandshake;

impl<'a> TlsConnect<&'a mut Request> for NoHandshake {
    type Stream = &'a mut Request;
    type Error = io::Error;
    type Future = Ready<io::Result<&'a mut Request>>;

    fn connect(self, request: &'a mut Request) -> Self::Future {
        ready(Ok(request))
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
            let read = std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut response));
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
