//! Sends reports as mail, plain text, by SMTP or by `sendmail`.

use super::{Notice, config, left, process};
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use ureq::http::Uri;

/// Where `sendmail` is when nobody says so; cron's search path does not hold it.
const SENDMAIL: &str = "/usr/sbin/sendmail";

#[derive(Debug)]
pub(super) struct Mail {
    from: Mailbox,
    to: Vec<Mailbox>,
    via: Via,
    /// As it was written.
    by: String,
}

#[derive(Debug)]
enum Via {
    Sendmail(String),
    Smtp(Box<Smtp>),
}

#[derive(Debug)]
struct Smtp {
    host: String,
    port: u16,
    security: Security,
    ca: Option<PathBuf>,
    login: Option<(String, Password)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    None,
    StartTls,
    Tls,
}

/// Where a password is; read when it is needed, so that a new one counts.
#[derive(Debug)]
enum Password {
    File(PathBuf),
    Variable(String),
}

impl Mail {
    pub(super) fn new(config: &config::Mail) -> Result<Self, String> {
        let mailbox = |what: &str, text: &str| -> Result<Mailbox, String> {
            text.parse().map_err(|error| format!("{what} {text:?} is no mail address: {error}"))
        };
        let from = match &config.from {
            Some(from) => mailbox("from", from)?,
            None => mailbox("from", &format!("conveyor@{}", host()))
                .map_err(|_| "the name of this host makes no address: set from".to_owned())?,
        };
        let to: Vec<Mailbox> = config.to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>()?;
        if to.is_empty() {
            return Err("to is empty: name who gets the mails".to_owned());
        }
        Ok(Self { from, to, via: Via::new(config)?, by: config.via.clone() })
    }

    pub(super) fn tell(&self, notice: &Notice, deadline: Instant) -> Result<(), String> {
        let message = message(&self.from, &self.to, notice)?;
        match &self.via {
            Via::Smtp(smtp) => {
                let transport = smtp.transport()?.timeout(Some(left(deadline)?)).build();
                transport.send(&message).map(drop).map_err(|error| not_sent(&error))
            }
            Via::Sendmail(program) => {
                process::run(sendmail(program, message.envelope()), message.formatted(), deadline)
            }
        }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn not_sent(error: &lettre::transport::smtp::Error) -> String {
    let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    // What reads and writes say when their time is up.
    if error.is_timeout() || io.is_some_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
        return "the server did not answer in time (timeout_s)".to_owned();
    }
    with_causes(error)
}

/// What went wrong and why: lettre says one of them at a time.
fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !said.contains(&why) {
            said = format!("{said}: {why}");
        }
        cause = error.source();
    }
    said
}

/// Addresses come last and behind `--`: one that begins with a dash is no option.
fn sendmail(program: &str, envelope: &Envelope) -> Command {
    let mut command = Command::new(program);
    command.arg("-i");
    if let Some(from) = envelope.from() {
        command.arg("-f").arg(from);
    }
    command.arg("--").args(envelope.to().iter().map(ToString::to_string));
    command
}

fn message(from: &Mailbox, to: &[Mailbox], notice: &Notice) -> Result<Message, String> {
    // A line break would be folded away, but is no subject either.
    let subject: String = notice.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let builder = Message::builder().from(from.clone()).subject(subject).message_id(None).date_now();
    let builder = to.iter().fold(builder, |builder, to| builder.to(to.clone()));
    let message = builder.header(ContentType::TEXT_PLAIN).body(notice.text.clone());
    let mut message = message.map_err(|error| format!("cannot write the mail: {error}"))?;
    // No answers from people on holiday.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(message)
}

impl Via {
    fn new(config: &config::Mail) -> Result<Self, String> {
        let wrong = || {
            format!(
                "via {:?} is unknown: write sendmail, sendmail:/PATH, smtp://HOST:PORT or smtps://HOST:PORT",
                config.via
            )
        };
        if let Some(program) = config.via.strip_prefix("sendmail") {
            let for_smtp = config.starttls || config.ca.is_some() || config.user.is_some();
            if for_smtp || config.password_file.is_some() || config.password_env.is_some() {
                return Err("starttls, ca, user and passwords are for SMTP, and via is sendmail".to_owned());
            }
            return match program.strip_prefix(':') {
                None if program.is_empty() => {
                    let there = Path::new(SENDMAIL).exists();
                    Ok(Self::Sendmail(if there { SENDMAIL } else { "sendmail" }.to_owned()))
                }
                Some(path) if !path.is_empty() => Ok(Self::Sendmail(path.to_owned())),
                _ => Err(wrong()),
            };
        }
        let uri: Uri = config.via.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            // Not even repeated.
            return Err("via holds a user: set user, and password_file or password_env".to_owned());
        }
        let (security, port) = match (uri.scheme_str(), config.starttls) {
            (Some("smtp"), false) => (Security::None, 25),
            (Some("smtp"), true) => (Security::StartTls, 587),
            (Some("smtps"), false) => (Security::Tls, 465),
            (Some("smtps"), true) => {
                return Err("smtps:// is TLS from the start: leave starttls out".to_owned());
            }
            _ => return Err(wrong()),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(port);
        let login = login(config)?;
        if login.is_some() && security == Security::None && !is_here(&host) {
            return Err(format!(
                "the password would go to {host} for everybody to read: set starttls = true, or use smtps://"
            ));
        }
        Ok(Self::Smtp(Box::new(Smtp { host, port, security, ca: config.ca.clone(), login })))
    }
}

fn login(config: &config::Mail) -> Result<Option<(String, Password)>, String> {
    let password = match (&config.password_file, &config.password_env) {
        (Some(_), Some(_)) => return Err("choose password_file or password_env, not both".to_owned()),
        (Some(file), None) => Some(Password::File(file.clone())),
        (None, Some(name)) => Some(Password::Variable(name.clone())),
        (None, None) => None,
    };
    match (&config.user, password) {
        (Some(user), Some(password)) => Ok(Some((user.clone(), password))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("user has no password: set password_file or password_env".to_owned()),
        (None, Some(_)) => Err("a password without a user: set user".to_owned()),
    }
}

/// Whether what goes to `host` stays on this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

impl Smtp {
    fn transport(&self) -> Result<lettre::transport::smtp::SmtpTransportBuilder, String> {
        let mut builder = SmtpTransport::builder_dangerous(&self.host).port(self.port);
        builder = builder.tls(match self.security {
            Security::None => Tls::None,
            Security::StartTls => Tls::Required(self.tls()?),
            Security::Tls => Tls::Wrapper(self.tls()?),
        });
        if let Some((user, password)) = &self.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.read()?));
        }
        Ok(builder)
    }

    fn tls(&self) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(file) = &self.ca {
            let cannot = |why: String| format!("cannot read certificates from {}: {why}", file.display());
            let pem = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| cannot(with_causes(&error)))?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
        }
        builder.build().map_err(|error| with_causes(&error))
    }
}

impl Password {
    fn read(&self) -> Result<String, String> {
        match self {
            Self::File(file) => {
                let text = std::fs::read_to_string(file);
                let text = text
                    .map_err(|error| format!("cannot read the password from {}: {error}", file.display()))?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            Self::Variable(name) => {
                std::env::var(name).map_err(|_| format!("the variable {name} (password_env) is not set"))
            }
        }
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<String> = self.to.iter().map(|to| to.email.to_string()).collect();
        write!(f, "mail to {} via {}", to.join(", "), self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(subject: &str, text: &str) -> String {
        let notice = Notice {
            run: "r".to_owned(),
            name: "nightly".to_owned(),
            subject: subject.to_owned(),
            ok: false,
            text: text.to_owned(),
            json: serde_json::Value::Null,
        };
        let (from, to) = ("conveyor@host".parse().unwrap(), "Ops <ops@example.org>".parse().unwrap());
        String::from_utf8(message(&from, &[to], &notice).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_subject_cannot_become_a_header() {
        for subject in [
            "x\r\nBcc: evil@example.org",
            "x\nBcc: evil@example.org",
            "x\r\n\r\nBcc: a@b.c",
            "é\r\nBcc: a@b.c",
        ] {
            let mail = written(subject, "text");
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc:")), "{mail}");
            assert_eq!(body.trim_end(), "text");
        }
    }

    #[test]
    fn a_mail_is_utf_8_and_has_a_date_an_id_and_says_that_it_is_automatic() {
        let mail = written("conveyor: nightly failed: 2 of 10 tasks", "zwölf\n.\n");
        for header in [
            "From: conveyor@host",
            "To: Ops <ops@example.org>",
            "Subject: conveyor: nightly failed: 2 of 10 tasks",
            "Content-Type: text/plain; charset=utf-8",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(mail.contains(&format!("{header}\r\n")), "{header} in {mail}");
        }
        assert!(mail.contains("\r\nDate: ") && mail.contains("\r\nMessage-ID: <"), "{mail}");
        assert!(written("zwölf", "x").contains("Subject: =?utf-8?b?"), "other letters are encoded");
    }

    #[test]
    fn addresses_are_no_options_of_sendmail() {
        let from = "-oQ/tmp@example.org".parse().unwrap();
        let command = sendmail(
            "sendmail",
            &Envelope::new(Some(from), vec!["-X@example.org".parse().unwrap()]).unwrap(),
        );
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        assert_eq!(arguments, ["-i", "-f", "-oQ/tmp@example.org", "--", "-X@example.org"]);
    }
}
