//! Until when a certificate is valid (RFC 5280 section 4.1.2.5), read from its DER and nothing else of it.
//! May not judge the certificate: whoever verifies it does.

/// The tags that stand before the validity, and of the two forms of a time in it.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns when this certificate expires, in seconds of Unix time; nothing when it is no certificate.
pub fn expires(certificate: &[u8]) -> Option<i64> {
    period(certificate).map(|(_, end)| end)
}

/// Returns from when until when this certificate is valid, in seconds of Unix time; nothing when it is no certificate.
pub fn period(certificate: &[u8]) -> Option<(i64, i64)> {
    let (certificate, _) = of(SEQUENCE, certificate)?;
    let (mut rest, _) = of(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) {
        (_, rest) = of(VERSION, rest)?;
    }
    // The serial number, the algorithm of the signature, the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = of(tag, rest)?;
    }
    let (validity, _) = of(SEQUENCE, rest)?;
    let (tag, text, after) = element(validity)?;
    let (last, until, _) = element(after)?;
    Some((moment(tag, text)?, moment(last, until)?))
}

fn moment(tag: u8, text: &[u8]) -> Option<i64> {
    match tag {
        UTC_TIME => {
            let year = number(text, 0, 2)?;
            time(year + if year < 50 { 2000 } else { 1900 }, text.get(2..)?)
        }
        GENERALIZED_TIME => time(number(text, 0, 4)?, text.get(4..)?),
        _ => None,
    }
}

/// The first element: its tag, what it holds, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // In so many bytes; a certificate is below 16 MiB.
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inner, rest) = rest.split_at_checked(length)?;
    Some((*tag, inner, rest))
}

/// The same of an element that must have this tag.
fn of(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(is, ..)| *is == tag).map(|(_, inner, rest)| (inner, rest))
}

fn number(text: &[u8], from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// `MMDDHHMMSSZ`: certificates have no other zone and always seconds.
fn time(year: i64, text: &[u8]) -> Option<i64> {
    let at = |place: usize| number(text, place * 2, place * 2 + 2);
    let (month, day) = (at(0)?, at(1)?);
    let (hour, minute, second) = (at(2)?, at(3)?, at(4)?);
    if text.get(10..) != Some(b"Z") || !(1..=12).contains(&month) {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1 January 1970 in the Gregorian calendar: years begin in March, so that the leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let within = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + within - 719_468
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own certificates")]
mod tests {
    use std::process::Command;

    use super::*;

    /// A certificate that openssl says ends then, and what `date` says of that in Unix time.
    fn made(end: &str, key: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let run = |words: &str| {
            let ran = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output().unwrap();
            assert!(ran.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&ran.stderr));
        };
        run(&format!("req -newkey {key} -nodes -keyout key -out csr -subj /CN=app.example.org/O=x"));
        std::fs::write(folder.path().join("index"), "").unwrap();
        let config = "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\n";
        std::fs::write(folder.path().join("ca"), config).unwrap();
        run(&format!(
            "ca -batch -config ca -selfsign -keyfile key -in csr -notext -out pem -startdate 19700102000000Z -enddate {end}"
        ));
        run("x509 -in pem -outform der -out der");
        std::fs::read(folder.path().join("der")).unwrap()
    }

    #[test]
    fn what_openssl_makes_is_read_in_both_forms_of_a_time() {
        const EC: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
        for (end, key, expires_at) in [
            // UTCTime, which ends in 2049, and GeneralizedTime.
            ("20260228235959Z", EC, 1_772_323_199),
            ("20240229120000Z", EC, 1_709_208_000),
            ("20491231235959Z", "rsa:2048", 2_524_607_999),
            ("20500101000000Z", EC, 2_524_608_000),
            ("21000301000000Z", EC, 4_107_542_400),
            ("99991231235959Z", EC, 253_402_300_799),
        ] {
            let der = made(end, key);
            assert_eq!(expires(&der), Some(expires_at), "{end}");
            for cut in 0..der.len().min(400) {
                let _nothing_panics = expires(&der[..cut]);
            }
            assert_eq!(expires(&der[..100]), None, "half a certificate");
        }
    }

    #[test]
    fn the_last_second_of_1999_is_read_as_one_of_the_last_century() {
        assert_eq!(expires(&made("19991231235959Z", "ec -pkeyopt ec_paramgen_curve:prime256v1")), Some(946_684_799));
    }

    #[test]
    fn what_is_no_certificate_has_no_date() {
        for bytes in [&b""[..], b"0", b"\x30\x03\x30\x01\x00", b"\x30\x84\xff\xff\xff\xff", b"hello"] {
            assert_eq!(expires(bytes), None, "{bytes:?}");
        }
    }
}
