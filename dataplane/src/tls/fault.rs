//! Why a handshake with an endpoint failed, in words of the gateway's own: one closed list, so
//! that nothing is allocated for an endpoint that fails request after request.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

macro_rules! faults {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        /// See the module.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        pub enum Fault {
            $(#[doc = $doc] #[error($text)] $name,)*
        }

        impl Fault {
            /// `upstream_transport_failure_reason` (Istio contract 2.12).
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("TLS_error: ", $text),)*
                }
            }

            /// What the body of the reply names to a request that failed for it.
            pub const fn reset_reason(self) -> &'static str {
                match self {
                    $(Self::$name => concat!(
                        "remote connection failure, transport failure reason: TLS_error: ",
                        $text,
                    ),)*
                }
            }

            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    Unprepared = "no usable certificate or authority for this cluster",
        "What the policy names is missing or unusable; the log says what.";
    UnknownIssuer = "CERTIFICATE_VERIFY_FAILED: issuer is not trusted",
        "The endpoint's certificate comes from somebody else.";
    Expired = "CERTIFICATE_VERIFY_FAILED: certificate has expired", "Its time is over.";
    NotYetValid = "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid", "Its time will come.";
    Revoked = "CERTIFICATE_VERIFY_FAILED: certificate is revoked", "A revocation list names it.";
    RevocationUnknown = "CERTIFICATE_VERIFY_FAILED: revocation status is unknown",
        "No valid revocation list covers it.";
    WrongName = "CERTIFICATE_VERIFY_FAILED: verify SAN list", "It is for other names.";
    BadCertificate = "CERTIFICATE_VERIFY_FAILED: certificate is not acceptable",
        "It is broken, for another purpose, or badly signed.";
    AlertCertificate = "alert of the endpoint: certificate refused or missing",
        "The endpoint wants another client certificate.";
    AlertProtocol = "alert of the endpoint: no common version, cipher or ALPN protocol",
        "Nothing that both sides speak.";
    AlertName = "alert of the endpoint: unrecognized server name", "It does not know the name sent.";
    Alert = "alert of the endpoint", "Any other.";
    NotTls = "WRONG_VERSION_NUMBER: the endpoint does not speak TLS", "Its answer is no TLS.";
    Incompatible = "no common version, cipher or ALPN protocol", "As this side judges it.";
    Closed = "the endpoint closed during the handshake", "Closed, or reset.";
    Protocol = "the endpoint broke the protocol", "Anything else.";
}

impl Fault {
    /// What a failed handshake means.
    pub fn of_handshake(error: &io::Error) -> Self {
        match rustls_error(error) {
            Some(error) => Self::of(error),
            None => Self::Closed,
        }
    }

    /// The fault if TLS is why an established connection failed: an endpoint of TLS 1.3 refuses
    /// a client's certificate only after the client has finished its handshake.
    pub fn of_alert(error: &io::Error) -> Option<Self> {
        match rustls_error(error) {
            Some(Error::AlertReceived(alert)) => Some(of_alert(*alert)),
            Some(_) => None,
            // HTTP/2 keeps of an error its kind alone. No socket has this one.
            None => (error.kind() == io::ErrorKind::InvalidData).then_some(Self::Alert),
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::InvalidCertRevocationList(_) => Self::RevocationUnknown,
            Error::NoCertificatesPresented => Self::BadCertificate,
            Error::AlertReceived(alert) => of_alert(*alert),
            Error::PeerIncompatible(_) => Self::Incompatible,
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Protocol,
        }
    }
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn of_certificate(error: &CertificateError) -> Fault {
    use CertificateError::*;
    match error {
        UnknownIssuer => Fault::UnknownIssuer,
        Expired | ExpiredContext { .. } => Fault::Expired,
        NotValidYet | NotValidYetContext { .. } => Fault::NotYetValid,
        Revoked => Fault::Revoked,
        UnknownRevocationStatus | ExpiredRevocationList | ExpiredRevocationListContext { .. } => {
            Fault::RevocationUnknown
        }
        NotValidForName | NotValidForNameContext { .. } => Fault::WrongName,
        _ => Fault::BadCertificate,
    }
}

fn of_alert(alert: AlertDescription) -> Fault {
    use AlertDescription::*;
    match alert {
        BadCertificate
        | UnsupportedCertificate
        | CertificateRevoked
        | CertificateExpired
        | CertificateUnknown
        | CertificateRequired
        | UnknownCA
        | AccessDenied
        | NoCertificate => Fault::AlertCertificate,
        HandshakeFailure | ProtocolVersion | InsufficientSecurity | NoApplicationProtocol => {
            Fault::AlertProtocol
        }
        UnrecognisedName => Fault::AlertName,
        _ => Fault::Alert,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_says_the_same_in_log_and_body() {
        for fault in Fault::ALL {
            let reason = fault.reason();
            assert_eq!(reason, format!("TLS_error: {fault}"));
            assert!(fault.reset_reason().ends_with(reason), "{fault:?}");
        }
    }

    #[test]
    fn errors_become_the_fault_that_an_operator_can_act_on() {
        let certificate = |error| Error::InvalidCertificate(error);
        for (error, expected) in [
            (certificate(CertificateError::UnknownIssuer), Fault::UnknownIssuer),
            (certificate(CertificateError::NotValidForName), Fault::WrongName),
            (certificate(CertificateError::Revoked), Fault::Revoked),
            (Error::AlertReceived(AlertDescription::CertificateRequired), Fault::AlertCertificate),
            (Error::AlertReceived(AlertDescription::NoApplicationProtocol), Fault::AlertProtocol),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), Fault::NotTls),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(Fault::of_handshake(&error), expected, "{error}");
        }
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(Fault::of_handshake(&reset), Fault::Closed);
        assert_eq!(Fault::of_alert(&reset), None);
    }
}
