//! Writing a list front to back, with the digest made on the way.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use aws_lc_rs::digest;

use super::{
    CRL_NUMBER, DELTA_CRL_INDICATOR, Holds, INVALIDITY_DATE, ISSUING_DISTRIBUTION_POINT,
    REASON_CODE, Scope,
};
use crate::der::{Writer, tag};
use crate::oid::AUTHORITY_KEY_ID;
use crate::{Error, Name, Reason, SignatureAlgorithm, Time};

/// How much is gathered before it is hashed and written.
const CHUNK_OCTETS: usize = 64 * 1024;

/// A list to be written: everything but its entries.
#[derive(Clone, Debug)]
pub struct CrlSpec {
    /// The issuer's subject, octet for octet.
    pub issuer: Name,
    /// The *issuer's own* subject key identifier, copied from its certificate: not the authority
    /// key identifier there, which names the parent, nor recomputed, as an external root may
    /// have made it another way. Verifiers find the issuer by it.
    pub issuer_key_id: Vec<u8>,
    /// What the issuer will sign with.
    pub signature: SignatureAlgorithm,
    /// When the list speaks for.
    pub this_update: Time,
    /// When a newer list will be out at the latest.
    pub next_update: Time,
    /// The cRLNumber: greater than that of every earlier list of this issuer and scope.
    pub number: u64,
    /// Which certificates it speaks for; anything but everything becomes a critical extension.
    pub scope: Scope,
}

/// One revoked certificate, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The contents octets of the serial number's INTEGER.
    pub serial: &'a [u8],
    /// When it was revoked.
    pub revoked_at: Time,
    /// Why. Left out of the list when unspecified (RFC 5280 section 5.3.1).
    pub reason: Reason,
    /// Since when the key is suspected, if that is before the revocation (section 5.3.2).
    pub invalid_since: Option<Time>,
}

impl Entry<'_> {
    /// How many octets the entry takes in a list.
    #[must_use]
    pub fn encoded_len(&self) -> u64 {
        let extensions = self.extensions_len();
        let wrapped = if extensions == 0 {
            0
        } else {
            tlv_len(extensions)
        };
        tlv_len(tlv_len(self.serial.len() as u64) + time_len(self.revoked_at) + wrapped)
    }

    fn extensions_len(&self) -> u64 {
        // Each is SEQUENCE { OID of 3 octets, OCTET STRING { ENUMERATED or GeneralizedTime } }.
        let reason = if self.reason == Reason::Unspecified {
            0
        } else {
            12
        };
        let invalid_since = if self.invalid_since.is_none() { 0 } else { 26 };
        reason + invalid_since
    }

    fn write(&self, list: &mut Writer) {
        list.sequence(|entry| {
            entry.integer(self.serial);
            entry.time(self.revoked_at);
            if self.extensions_len() == 0 {
                return;
            }
            entry.sequence(|extensions| {
                if self.reason != Reason::Unspecified {
                    extensions.sequence(|extension| {
                        extension.oid(&REASON_CODE);
                        extension.nest(tag::OCTET_STRING, |value| {
                            value.tlv(tag::ENUMERATED, &[self.reason.code()]);
                        });
                    });
                }
                if let Some(time) = self.invalid_since {
                    extensions.sequence(|extension| {
                        extension.oid(&INVALIDITY_DATE);
                        extension.nest(tag::OCTET_STRING, |value| value.generalized_time(time));
                    });
                }
            });
        });
    }
}

/// What the issuer's key has to sign.
#[derive(Clone, Copy, Debug)]
pub enum ToSign<'a> {
    /// The digest of the list, made with the hash of the signature algorithm.
    Digest(&'a [u8]),
    /// The list itself, for Ed25519, which has no digest to sign. It was read back as a whole:
    /// for such issuers memory grows with the list.
    Message(&'a [u8]),
}

/// Why a list could not be written.
#[derive(Debug)]
pub enum WriteError<E> {
    /// The sink failed.
    Io(io::Error),
    /// The signer failed.
    Sign(E),
    /// What was asked for cannot be a list.
    Crl(Error),
}

impl<E> From<io::Error> for WriteError<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<E> From<Error> for WriteError<E> {
    fn from(error: Error) -> Self {
        Self::Crl(error)
    }
}

impl<E> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the revocation list could not be stored"),
            Self::Sign(_) => f.write_str("the revocation list could not be signed"),
            Self::Crl(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for WriteError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Sign(error) => Some(error),
            Self::Crl(_) => None,
        }
    }
}

impl CrlSpec {
    /// Writes a list whose entries can be gone through twice: once for their length, once to be
    /// written. See [`CrlWriter`] for entries that cannot.
    ///
    /// # Errors
    /// As [`CrlWriter::start`] and [`CrlWriter::finish`].
    pub fn write<'e, S, E>(
        &self,
        entries: impl Iterator<Item = Entry<'e>> + Clone,
        sink: S,
        sign: impl FnOnce(ToSign<'_>) -> Result<Vec<u8>, E>,
    ) -> Result<S, WriteError<E>>
    where
        S: Read + Write + Seek,
    {
        let entries_len = entries.clone().map(|entry| entry.encoded_len()).sum();
        let mut writer = CrlWriter::start(self, entries_len, sink)?;
        for entry in entries {
            writer.entry(&entry)?;
        }
        writer.finish(sign)
    }

    /// A whole list in memory, for short ones.
    ///
    /// # Errors
    /// As [`CrlSpec::write`].
    pub fn to_der<'e, E>(
        &self,
        entries: impl Iterator<Item = Entry<'e>> + Clone,
        sign: impl FnOnce(ToSign<'_>) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, WriteError<E>> {
        self.write(entries, io::Cursor::new(Vec::new()), sign)
            .map(io::Cursor::into_inner)
    }

    /// A delta list in memory (RFC 5280 section 5.2.4): what has changed since the complete list of
    /// number `base`. Its scope and issuer are those of the complete list; an entry of reason
    /// `removeFromCRL` takes one back. The extension is critical, so that nobody takes it for a
    /// complete list.
    ///
    /// # Errors
    /// As [`CrlSpec::write`]; `Crl` if `base` is not below the number.
    pub fn to_delta_der<'e, E>(
        &self,
        base: u64,
        entries: impl Iterator<Item = Entry<'e>> + Clone,
        sign: impl FnOnce(ToSign<'_>) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, WriteError<E>> {
        if base >= self.number {
            return Err(Error::inconsistent("a delta to a list that is no older").into());
        }
        let entries_len = entries.clone().map(|entry| entry.encoded_len()).sum();
        let tail = self.tail(Some(base))?;
        let sink = io::Cursor::new(Vec::new());
        let mut writer = CrlWriter::start_with(self, tail, entries_len, sink)?;
        for entry in entries {
            writer.entry(&entry)?;
        }
        writer.finish(sign).map(io::Cursor::into_inner)
    }

    /// Version, algorithm, issuer, times: what stands before the entries.
    fn head(&self) -> Result<Vec<u8>, Error> {
        let mut writer = Writer::new();
        writer.unsigned(1); // v2
        writer.raw(self.signature.as_der()?);
        writer.raw(self.issuer.as_der());
        writer.time(self.this_update);
        writer.time(self.next_update);
        Ok(writer.finish())
    }

    /// `[0]` and the extensions: what stands after the entries.
    fn tail(&self, delta_to: Option<u64>) -> Result<Vec<u8>, Error> {
        if !self
            .scope
            .urls
            .iter()
            .all(|url| !url.is_empty() && url.is_ascii())
        {
            return Err(Error::unsupported(
                "a distribution point URL that is not ASCII",
            ));
        }
        let mut writer = Writer::new();
        writer.nest(tag::context_constructed(0), |tagged| {
            tagged.sequence(|extensions| {
                extensions.sequence(|extension| {
                    extension.oid(&AUTHORITY_KEY_ID);
                    extension.nest(tag::OCTET_STRING, |value| {
                        value.sequence(|aki| aki.tlv(tag::context(0), &self.issuer_key_id));
                    });
                });
                extensions.sequence(|extension| {
                    extension.oid(&CRL_NUMBER);
                    extension.nest(tag::OCTET_STRING, |value| value.unsigned(self.number));
                });
                if let Some(base) = delta_to {
                    extensions.sequence(|extension| {
                        extension.oid(&DELTA_CRL_INDICATOR);
                        extension.boolean_true();
                        extension.nest(tag::OCTET_STRING, |value| value.unsigned(base));
                    });
                }
                if self.scope != Scope::everything() {
                    write_scope(&self.scope, extensions);
                }
            });
        });
        Ok(writer.finish())
    }
}

fn write_scope(scope: &Scope, extensions: &mut Writer) {
    extensions.sequence(|extension| {
        extension.oid(&ISSUING_DISTRIBUTION_POINT);
        extension.boolean_true();
        extension.nest(tag::OCTET_STRING, |value| {
            value.sequence(|point| {
                if !scope.urls.is_empty() {
                    // distributionPoint [0], which is a CHOICE and so explicit; fullName [0].
                    point.nest(tag::context_constructed(0), |point| {
                        point.nest(tag::context_constructed(0), |names| {
                            for url in &scope.urls {
                                names.tlv(tag::context(6), url.as_bytes());
                            }
                        });
                    });
                }
                match scope.holds {
                    Holds::All => {}
                    Holds::UserCerts => point.tlv(tag::context(1), &[0xff]),
                    Holds::CaCerts => point.tlv(tag::context(2), &[0xff]),
                }
            });
        });
    });
}

/// A list on its way to a sink.
///
/// DER puts lengths first, so the total length of the entries must be known at the start (the sum
/// of [`Entry::encoded_len`]). The sink is then written once, front to back, except for the header
/// of the whole, which is filled in at the end, when the length of the signature is known.
pub struct CrlWriter<S> {
    sink: S,
    /// Where in the sink the list starts.
    origin: u64,
    /// The octets set aside for the header of the whole.
    header_len: u64,
    /// The length of the TBSCertList with its own header.
    tbs_len: u64,
    /// What the entries must come to, and what has come so far.
    entries_len: u64,
    entries_done: u64,
    signature: SignatureAlgorithm,
    tail: Vec<u8>,
    digest: Option<digest::Context>,
    pending: Writer,
    pending_len: u64,
}

impl<S> fmt::Debug for CrlWriter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrlWriter")
            .field("entries_len", &self.entries_len)
            .field("entries_done", &self.entries_done)
            .finish_non_exhaustive()
    }
}

impl<S: Read + Write + Seek> CrlWriter<S> {
    /// Starts a list at the sink's current position. `entries_len` is the sum of all entries'
    /// [`Entry::encoded_len`]; with zero, `revokedCertificates` is left out, as RFC 5280
    /// section 5.1.2.6 demands.
    ///
    /// # Errors
    /// `Io` if the sink fails, `Crl` if the spec has an unknown algorithm or a URL that is not
    /// ASCII, or if the list would not fit in 4 GiB.
    pub fn start<E>(spec: &CrlSpec, entries_len: u64, sink: S) -> Result<Self, WriteError<E>> {
        Self::start_with(spec, spec.tail(None)?, entries_len, sink)
    }

    fn start_with<E>(
        spec: &CrlSpec,
        tail: Vec<u8>,
        entries_len: u64,
        mut sink: S,
    ) -> Result<Self, WriteError<E>> {
        let head = spec.head()?;
        let list_len = if entries_len == 0 {
            0
        } else {
            tlv_len(entries_len)
        };
        let contents_len = head.len() as u64 + list_len + tail.len() as u64;
        let tbs_len = tlv_len(contents_len);
        if tbs_len > u64::from(u32::MAX) - 4096 {
            return Err(Error::unsupported("a revocation list over 4 GiB").into());
        }
        let origin = sink.stream_position()?;
        // A guess: it is right unless the whole is just around 128, 256, 65536 … octets long.
        let header_len = header_len(tbs_len + 80);
        sink.write_all(&[0; 6][..header_len as usize])?;
        let mut pending = Writer::with_capacity(CHUNK_OCTETS + 1024);
        write_header(&mut pending, contents_len);
        pending.raw(&head);
        if entries_len > 0 {
            write_header(&mut pending, entries_len);
        }
        let pending_len = tbs_len - entries_len - tail.len() as u64;
        Ok(Self {
            sink,
            origin,
            header_len,
            tbs_len,
            entries_len,
            entries_done: 0,
            signature: spec.signature,
            tail,
            digest: spec.signature.digest().map(digest::Context::new),
            pending,
            pending_len,
        })
    }

    /// Adds an entry. Their order is free; serials must differ.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let len = entry.encoded_len();
        entry.write(&mut self.pending);
        self.entries_done += len;
        self.pending_len += len;
        if self.pending_len >= CHUNK_OCTETS as u64 {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Completes and signs the list, and returns the sink, positioned after it.
    ///
    /// # Errors
    /// `Crl` if the entries did not come to the announced length, `Sign` if the signer fails,
    /// `Io` if the sink does. The sink then holds no list.
    pub fn finish<E>(
        mut self,
        sign: impl FnOnce(ToSign<'_>) -> Result<Vec<u8>, E>,
    ) -> Result<S, WriteError<E>> {
        if self.entries_done != self.entries_len {
            return Err(Error::inconsistent("entries of another length than announced").into());
        }
        let tail = std::mem::take(&mut self.tail);
        self.pending.raw(&tail);
        self.flush()?;
        let signature = match self.digest.take() {
            Some(digest) => sign(ToSign::Digest(digest.finish().as_ref())),
            None => sign(ToSign::Message(&self.read_back()?)),
        };
        let mut end = Writer::new();
        end.raw(self.signature.as_der()?);
        end.octet_bits(&signature.map_err(WriteError::Sign)?);
        let end = end.finish();

        let contents_len = self.tbs_len + end.len() as u64;
        let mut header = Writer::new();
        write_header(&mut header, contents_len);
        let header = header.finish();
        let tbs_at = self.origin + header.len() as u64;
        self.shift(self.origin + self.header_len, tbs_at)?;
        self.sink.seek(SeekFrom::Start(self.origin))?;
        self.sink.write_all(&header)?;
        self.sink.seek(SeekFrom::Start(tbs_at + self.tbs_len))?;
        self.sink.write_all(&end)?;
        Ok(self.sink)
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(
            &mut self.pending,
            Writer::with_capacity(CHUNK_OCTETS + 1024),
        );
        let chunk = chunk.finish();
        self.pending_len = 0;
        if let Some(digest) = &mut self.digest {
            digest.update(&chunk);
        }
        self.sink.write_all(&chunk)
    }

    fn read_back(&mut self) -> io::Result<Vec<u8>> {
        self.sink
            .seek(SeekFrom::Start(self.origin + self.header_len))?;
        let mut message = Vec::new();
        (&mut self.sink)
            .take(self.tbs_len)
            .read_to_end(&mut message)?;
        Ok(message)
    }

    /// Moves the signed part when the guess of [`CrlWriter::start`] was off by an octet, which
    /// happens to one list in thousands.
    fn shift(&mut self, from: u64, to: u64) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        let mut chunk = vec![0; CHUNK_OCTETS];
        let mut moved = 0;
        while moved < self.tbs_len {
            let len = (self.tbs_len - moved).min(CHUNK_OCTETS as u64);
            // Towards the front we start in front, towards the back behind: nothing is overwritten
            // before it is read.
            let at = if to < from {
                moved
            } else {
                self.tbs_len - moved - len
            };
            let piece = &mut chunk[..len as usize];
            self.sink.seek(SeekFrom::Start(from + at))?;
            self.sink.read_exact(piece)?;
            self.sink.seek(SeekFrom::Start(to + at))?;
            self.sink.write_all(piece)?;
            moved += len;
        }
        Ok(())
    }
}

/// Identifier and length octets before contents of this length, which is below 2^32.
const fn header_len(contents_len: u64) -> u64 {
    match contents_len {
        0..0x80 => 2,
        0x80..0x100 => 3,
        0x100..0x1_0000 => 4,
        0x1_0000..0x100_0000 => 5,
        _ => 6,
    }
}

const fn tlv_len(contents_len: u64) -> u64 {
    header_len(contents_len) + contents_len
}

/// A UTCTime through 2049, then a GeneralizedTime.
fn time_len(time: Time) -> u64 {
    const Y1950: i64 = -631_152_000;
    const Y2050: i64 = 2_524_608_000;
    if (Y1950..Y2050).contains(&time.unix()) {
        15
    } else {
        17
    }
}

/// Writes the header of a SEQUENCE whose contents come later.
fn write_header(writer: &mut Writer, contents_len: u64) {
    let [.., a, b, c, d] = contents_len.to_be_bytes();
    writer.raw(&[tag::SEQUENCE]);
    match header_len(contents_len) {
        2 => writer.raw(&[d]),
        3 => writer.raw(&[0x81, d]),
        4 => writer.raw(&[0x82, c, d]),
        5 => writer.raw(&[0x83, b, c, d]),
        _ => writer.raw(&[0x84, a, b, c, d]),
    }
}
