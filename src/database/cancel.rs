//! Cancelling a query in a way that a pooler passes on.
//!
//! tokio-postgres closes the connection on which it has asked for the cancel at once. PostgreSQL has read the request by
//! then or reads it after, but `PgBouncer` forgets what a client has asked for that has gone: measured, no cancel came
//! through. So the connection is held open until the other side closes it, as libpq does.

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

/// Asks the server, over a connection of its own, to end what the token's connection is running, and returns once the
/// server has dealt with it.
///
/// # Errors
///
/// If the server cannot be reached. Whether it had anything to end is not told.
pub async fn cancel(token: CancelToken, config: &Config, tls: Option<&Tls>) -> Result<(), PgError> {
    if let Some(tls) = tls {
        return token.cancel_query(Patient(tls.connector())).await;
    }
    if let Some(address) = address(config)
        && let Ok(stream) = TcpStream::connect(address).await
    {
        return token.cancel_query_raw(Patient(stream), NoTls).await;
    }
    token.cancel_query(NoTls).await
}

/// The one address that a login in plain text leads to, if there is one. Of several, tokio-postgres alone knows which it
/// has taken.
fn address(config: &Config) -> Option<(String, u16)> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match (config.get_hosts(), config.get_hostaddrs()) {
        (_, [address]) => Some((address.to_string(), port)),
        ([Host::Tcp(host)], []) => Some((host.clone(), port)),
        _ => None,
    }
}

/// A stream that shuts down when the other side has closed it, and what makes such streams.
struct Patient<T>(T);

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 64];
        loop {
            let mut answer = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut answer));
            // How it was closed is all the same: TLS calls it an error if nobody said good-bye.
            if read.is_err() || answer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for Patient<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<S, M: MakeTlsConnect<S>> MakeTlsConnect<S> for Patient<M>
where
    M::TlsConnect: Send + 'static,
    <M::TlsConnect as TlsConnect<S>>::Future: Send + 'static,
{
    type Stream = Patient<M::Stream>;
    type TlsConnect = Patient<M::TlsConnect>;
    type Error = M::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        self.0.make_tls_connect(domain).map(Patient)
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for Patient<T>
where
    T::Future: Send + 'static,
{
    type Stream = Patient<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(Patient) })
    }
}
