//! PEM (RFC 7468): DER in base64 between two lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Error;

/// The most blocks read from one text.
const BLOCKS_MAX: usize = 4096;

/// One block of a PEM text.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Writes DER as one PEM block with this label, such as `CERTIFICATE`.
#[must_use]
pub fn pem_encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64)); // base64 is ASCII
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Reads all blocks of a text; what stands between blocks is passed over.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block<'_>>, Error> {
    const BEGIN: &str = "-----BEGIN ";
    let fail = Error::malformed("PEM");
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, after) = after.split_once("-----").ok_or(fail)?;
        let (body, after) = after.split_once("-----END ").ok_or(fail)?;
        let after = after
            .strip_prefix(label)
            .and_then(|after| after.strip_prefix("-----"))
            .ok_or(fail)?;
        let base64: Zeroizing<Vec<u8>> = Zeroizing::new(
            body.bytes()
                .filter(|octet| !octet.is_ascii_whitespace())
                .collect(),
        );
        let der = STANDARD.decode(base64.as_slice()).map_err(|_| fail)?;
        if found.len() == BLOCKS_MAX {
            return Err(Error::unsupported("so many PEM blocks in one text"));
        }
        found.push(Block {
            label,
            der: Zeroizing::new(der),
        });
        rest = after;
    }
    Ok(found)
}

/// The first block with this label.
pub(crate) fn first<'a>(text: &'a str, label: &str) -> Result<Option<Block<'a>>, Error> {
    Ok(blocks(text)?.into_iter().find(|block| block.label == label))
}
