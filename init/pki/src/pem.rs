//! One value in the textual form of RFC 7468.
//! May not know what is in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a private key, PKCS #8.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Characters of a line.
const LINE: usize = 64;

pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let digits = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..digits.len()).step_by(LINE) {
        text += &digits[start..digits.len().min(start + LINE)];
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Reads what [`encode`] has written. Returns nothing when it is anything else.
pub(crate) fn decode(label: &str, text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(&format!("-----BEGIN {label}-----\n"))?;
    let digits = digits.strip_suffix(&format!("-----END {label}-----\n"))?;
    STANDARD.decode(digits.split('\n').collect::<String>()).ok()
}
