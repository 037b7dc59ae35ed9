//! Finding the server and saying who we are: from the data directory on the server's own machine,
//! from the environment, or from an earlier `tenure login`.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use rustls::CertificateError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenure_domain::text::hex;
use tenure_field::http::{Client, Scheme, Settings, Trust, Url};
use tenure_x509::sha256;

use super::api::{self, Api};
use super::exit::Failure;
use super::output::Output;
use super::{Agreed, Reach};
use crate::run_file::{RunFile, reachable};

/// The trust anchor in the data directory.
pub const ROOT_FILE: &str = "root.pem";
/// The bootstrap copy of the first admin token in the data directory.
pub const TOKEN_FILE: &str = "admin.token";

/// What names the server in the command line, and what to do if it is wrong.
const GIVEN: (&str, &str) = (
    "--url or TENURE_URL",
    "Give the operator listener's address",
);
/// What names it otherwise.
const KEPT: (&str, &str) = (
    "the login that was kept",
    "Run `tenure login` with --url again",
);

/// A server to talk to.
pub struct Session {
    api: Api,
    root_pem: String,
    token_at: TokenAt,
}

/// Where the token came from, and so where its successor belongs.
enum TokenAt {
    /// The environment or the command line: the caller keeps it.
    Caller,
    /// The bootstrap file in the data directory.
    File(PathBuf),
    /// What `login` kept.
    Login,
}

/// `tenure login`
#[derive(Debug, Args)]
pub struct Login {
    /// SHA-256 of the root certificate, as `tenure init` printed it.
    #[arg(long)]
    fingerprint: String,
}

/// What `login` keeps, readable by this user only.
#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    root_pem: String,
    token: String,
}

impl Session {
    /// Finds the server.
    ///
    /// # Errors
    /// It is not said where it is, or what is needed to talk to it is missing.
    pub fn find(reach: &Reach) -> Result<Session, Failure> {
        if let Some(url) = &reach.url {
            return Session::elsewhere(url, reach);
        }
        if let Some(data) = &reach.data {
            return Session::local(data, reach);
        }
        let kept = kept().ok_or_else(|| {
            Failure::Usage(
                "it is not said which server: give --data DIR on its machine, or --url, or run \
                 `tenure login --url … --fingerprint …` once"
                    .to_string(),
            )
        })?;
        let (token, token_at) = match &reach.token {
            Some(token) => (token, TokenAt::Caller),
            None => (&kept.token, TokenAt::Login),
        };
        over_tls(KEPT, &kept.url)?;
        let api = Api::new(&kept.url, trust(&kept.root_pem)?, token)?;
        Ok(Session {
            api,
            root_pem: kept.root_pem,
            token_at,
        })
    }

    fn elsewhere(url: &str, reach: &Reach) -> Result<Session, Failure> {
        over_tls(GIVEN, url)?;
        let kept = kept().filter(|kept| kept.url == url);
        let (token, token_at) = match (&reach.token, &kept) {
            (Some(token), _) => (token.clone(), TokenAt::Caller),
            (None, Some(kept)) => (kept.token.clone(), TokenAt::Login),
            (None, None) => return Err(no_token()),
        };
        let root_pem = match (&reach.ca, kept) {
            (Some(path), _) => read(path)?,
            (None, Some(kept)) => kept.root_pem,
            (None, None) => {
                return Err(Failure::Usage(
                    "the server's root certificate is missing: give it with --ca or TENURE_CA, \
                     or run `tenure login --url … --fingerprint …` once"
                        .to_string(),
                ));
            }
        };
        let api = Api::new(url, trust(&root_pem)?, &token)?;
        Ok(Session {
            api,
            root_pem,
            token_at,
        })
    }

    fn local(data: &Path, reach: &Reach) -> Result<Session, Failure> {
        let running = RunFile::read(data)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", data.display())))?
            .ok_or_else(|| {
                Failure::Unreachable(format!(
                    "no server runs on {}; start it with `tenure serve --data {}`",
                    data.display(),
                    data.display()
                ))
            })?;
        let token_file = data.join(TOKEN_FILE);
        let (token, token_at) = match &reach.token {
            Some(token) => (token.clone(), TokenAt::Caller),
            None => match fs::read_to_string(&token_file) {
                Ok(token) => (token, TokenAt::File(token_file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_token()),
                Err(error) => {
                    return Err(Failure::Denied(format!(
                        "cannot read {}: {error}",
                        token_file.display()
                    )));
                }
            },
        };
        let ca = reach.ca.clone().unwrap_or_else(|| data.join(ROOT_FILE));
        let root_pem = read(&ca)?;
        let url = format!("https://{}", reachable(running.operator));
        let api = Api::new(&url, trust(&root_pem)?, &token)?;
        Ok(Session {
            api,
            root_pem,
            token_at,
        })
    }

    /// The server's API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A name for whose server this is, made from the root we trust it by: the same on every
    /// address, another for every house.
    pub fn house(&self) -> String {
        house(&self.root_pem)
    }

    /// The root certificate that we trust it by, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Says what is about to happen, and goes on only with agreement.
    ///
    /// # Errors
    /// Nobody agreed.
    pub fn agree(&self, effect: &str, agreed: Agreed) -> Result<(), Failure> {
        if agreed.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::NotAgreed(format!(
                "this would {effect}\nAdd --yes to do it."
            )));
        }
        eprint!("This will {effect}\nGo on? [y/N] ");
        let mut answer = String::new();
        let _ = io::stderr().flush();
        match io::stdin().read_line(&mut answer) {
            Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
            _ => Err(Failure::NotAgreed("nothing was done".to_string())),
        }
    }

    /// Puts a new token where the old one came from; `None` if the caller keeps it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_token(&self, token: &str) -> Result<Option<PathBuf>, Failure> {
        match &self.token_at {
            TokenAt::Caller => Ok(None),
            TokenAt::File(path) => write_private(path, token).map(|()| Some(path.clone())),
            TokenAt::Login => {
                let (Some(path), Some(mut kept)) = (kept_path(), kept()) else {
                    return Ok(None);
                };
                kept.token = token.to_owned();
                write_private(&path, &json!(kept).to_string())?;
                Ok(Some(path))
            }
        }
    }
}

/// `tenure login`: checks the server against the fingerprint, then keeps its root and the token.
///
/// # Errors
/// The server is not the one with this root, or does not know the token.
pub async fn login(login: &Login, reach: &Reach, output: &Output) -> Result<(), Failure> {
    let url = reach
        .url
        .clone()
        .ok_or_else(|| Failure::Usage("say which server: --url".into()))?;
    let trust = Trust::from_fingerprint(&login.fingerprint).map_err(usage)?;
    let server = over_tls(GIVEN, &url)?;
    let client = Client::new(Settings::new(Some(trust))).map_err(usage)?;
    let another = || {
        Failure::Unreachable(format!(
            "{url} is not the server with the fingerprint {}: its root is another one; compare \
             --fingerprint with what `tenure init` printed",
            login.fingerprint
        ))
    };
    let presented = client
        .connect(&server)
        .await
        .map_err(|error| match error.distrust() {
            Some(CertificateError::UnknownIssuer) => another(),
            _ => Failure::Unreachable(format!("cannot reach {url}: {}", api::chain(&error))),
        })?;
    let root = root_of(&presented, &login.fingerprint).ok_or_else(another)?;
    let token = match &reach.token {
        Some(token) => token.clone(),
        None => rpassword::prompt_password("Token: ").map_err(|error| {
            Failure::Denied(format!(
                "there is no terminal to ask for the token on ({error}): set TENURE_TOKEN"
            ))
        })?,
    };
    let root_pem = tenure_x509::pem_encode("CERTIFICATE", &root);
    let who = Api::new(&url, self::trust(&root_pem)?, &token)?
        .get("/me")
        .await?;
    let path = kept_path().ok_or_else(|| Failure::failed("there is no home directory"))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::failed(format!("cannot make {}: {error}", directory.display()))
        })?;
    }
    let kept = json!(Kept {
        url: url.clone(),
        root_pem,
        token: token.trim().to_string()
    });
    write_private(&path, &kept.to_string())?;
    let name = who
        .get("name")
        .and_then(|name| name.as_str())
        .unwrap_or("?");
    let role = who
        .get("role")
        .and_then(|role| role.as_str())
        .unwrap_or("?");
    output.done(&format!("logged in at {url} as {name} ({role})"), &who)
}

fn root_of(presented: &[Vec<u8>], fingerprint: &str) -> Option<Vec<u8>> {
    let wanted: String = fingerprint
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect::<String>()
        .to_lowercase();
    let mut presented = presented.iter();
    presented.find(|der| hex(&sha256(der)) == wanted).cloned()
}

/// The address, if what is sent there goes over TLS.
fn over_tls((field, mend): (&str, &str), url: &str) -> Result<Url, Failure> {
    let server = Url::parse(url)
        .map_err(|error| Failure::Usage(format!("{field}: {url} is no address: {error}")))?;
    match server.scheme() {
        Scheme::Https => Ok(server),
        Scheme::Http => Err(Failure::Usage(format!(
            "{field}: {url} is not https://, and the token would be sent in clear; nothing was \
             sent. {mend}, for example https://{}",
            server.to_string().trim_start_matches("http://")
        ))),
    }
}

fn usage(error: tenure_field::http::Error) -> Failure {
    Failure::Usage(error.to_string())
}

fn no_token() -> Failure {
    Failure::Denied(
        "there is no token: set TENURE_TOKEN, or ask an admin for one (`tenure token create`)"
            .to_string(),
    )
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))
}

fn trust(pem: &str) -> Result<Trust, Failure> {
    Trust::from_pem(pem).map_err(usage)
}

fn kept_path() -> Option<PathBuf> {
    let from = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let configuration =
        from("XDG_CONFIG_HOME").or_else(|| from("HOME").map(|home| home.join(".config")))?;
    Some(configuration.join("tenure").join("login.json"))
}

fn kept() -> Option<Kept> {
    serde_json::from_slice(&fs::read(kept_path()?).ok()?).ok()
}

fn house(root_pem: &str) -> String {
    // The first root stands for the house; those that follow it stand after it in the file.
    let end = "-----END CERTIFICATE-----";
    let first = root_pem.split_inclusive(end).next().unwrap_or(root_pem);
    hex(&sha256(first.trim().as_bytes()))
}

/// Writes a file only its owner can read, whole or not at all. (New temporary files are 0600.)
///
/// # Errors
/// The directory cannot be written to.
pub fn write_private(path: &Path, content: &str) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|error| failed(&error))?;
    writeln!(file, "{}", content.trim_end()).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error))?;
    Ok(())
}
