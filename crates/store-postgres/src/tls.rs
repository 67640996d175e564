//! TLS to the server: which certificates are trusted, and when none is used.

use std::path::Path;

use balance_domain::ports::Cause;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The connector for this server, or `None` where the link is to be plain: TLS is switched off, or it is
/// merely preferred and the server is on this machine.
pub(crate) fn connector(config: &Config, ca_file: Option<&Path>) -> Result<Option<MakeRustlsConnect>, Cause> {
    let is_plain = match config.get_ssl_mode() {
        SslMode::Disable => true,
        SslMode::Prefer => config.get_hosts().iter().all(is_local),
        _ => false,
    };
    if is_plain {
        return Ok(None);
    }
    let client = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(client)))
}

/// The certificate and name of the server are always checked, so libpq's stricter modes are `require` here.
pub(crate) fn with_known_sslmode(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Cause> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate to trust was found: name a CA file".into());
    }
    Ok(roots)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(url: &str) -> bool {
        let config: Config = with_known_sslmode(url).parse().unwrap();
        // Where TLS is wanted, this machine may have no certificates to trust: that is an answer too.
        matches!(connector(&config, None), Ok(None))
    }

    #[test]
    fn tls_is_used_where_it_is_asked_for_and_towards_other_machines() {
        for plain in [
            "postgres://u@127.0.0.1/d",
            "postgres://u@localhost/d?sslmode=prefer",
            "postgres://u@[::1]/d",
            "postgres://u@%2Frun%2Fpostgresql/d",
            "postgres://u@db.example/d?sslmode=disable",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for secured in [
            "postgres://u@db.example/d",
            "postgres://u@127.0.0.1/d?sslmode=require",
            "postgres://u@127.0.0.1/d?sslmode=verify-full",
            "postgres://u@db.example/d?sslmode=verify-ca",
        ] {
            assert!(!is_plain(secured), "{secured}");
        }
    }
}
