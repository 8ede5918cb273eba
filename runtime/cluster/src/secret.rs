//! The secret that the processes of an attempt know and nobody else, and what is proven with it.

use crate::ClusterError;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;

/// The size of a secret, a nonce and a proof.
pub(crate) const BYTES: usize = 32;

/// A secret of 32 random bytes. Its text form, 64 hexadecimal digits, is for messages on control channels and files that
/// their owner alone can read; it is never shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; BYTES]);

impl Secret {
    /// A new one, from the system's source of random bytes.
    pub fn generate() -> Result<Secret, ClusterError> {
        random().map(Secret)
    }

    /// Proves knowledge of the secret, for this text alone (HMAC-SHA-256).
    pub(crate) fn proof(&self, text: &[&[u8]]) -> [u8; BYTES] {
        self.mac(text).finalize().into_bytes().into()
    }

    /// Whether `proof` proves knowledge of the secret for this text. Takes the same time for every wrong one.
    pub(crate) fn is_proven(&self, text: &[&[u8]], proof: &[u8; BYTES]) -> bool {
        self.mac(text).verify_slice(proof).is_ok()
    }

    fn mac(&self, text: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        text.iter().for_each(|part| mac.update(part));
        mac
    }
}

/// Random bytes for a secret or a nonce.
pub(crate) fn random() -> Result<[u8; BYTES], ClusterError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ClusterError::Random { reason: error.to_string() })?;
    Ok(bytes)
}

impl FromStr for Secret {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().as_bytes();
        let digit = |at: usize| char::from(text[at]).to_digit(16);
        let byte = |at: usize| Some((digit(2 * at)? * 16 + digit(2 * at + 1)?) as u8);
        let bytes: Option<Vec<u8>> = if text.len() == 2 * BYTES { (0..BYTES).map(byte).collect() } else { None };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Secret).ok_or(ClusterError::NoSecret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&hex)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_has_a_text_form_that_is_not_shown() {
        let secret = Secret::generate().unwrap();
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(text.len(), 66);
        assert!(serde_json::from_str::<Secret>(&text).unwrap() == secret);
        assert!(format!("{}\n", text.trim_matches('"')).parse::<Secret>().unwrap() == secret, "as a file has it");
        assert_eq!(format!("{secret:?}"), "Secret");
        for wrong in ["", "12", &"x".repeat(64), &"1".repeat(63), &"é".repeat(32)] {
            assert!(wrong.parse::<Secret>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn proofs_are_of_one_text_and_one_secret() {
        // Case 2 of RFC 4231: a shorter key counts as filled up with zeros.
        let secret: Secret = format!("4a656665{}", "00".repeat(28)).parse().unwrap();
        let proof = secret.proof(&[b"what do ya want ", b"for nothing?"]);
        let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(secret.is_proven(&[b"what do ya want for nothing?"], &proof));
        assert!(!secret.is_proven(&[b"what do ya want for nothing!"], &proof));
        assert!(!Secret::generate().unwrap().is_proven(&[b"what do ya want for nothing?"], &proof));
    }
}
