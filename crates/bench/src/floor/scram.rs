//! The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// A login that has begun.
pub(super) struct Scram {
    bare: String,
}

impl Scram {
    pub(super) fn begin(nonce: &str) -> Self {
        Self { bare: format!("n=,r={nonce}") }
    }

    /// The first message: no channel binding, and a nonce.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The last message, which proves that we know the password; `None` if the challenge cannot be read.
    pub(super) fn proof(&self, challenge: &str, password: &str) -> Option<String> {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let (nonce, salt, rounds) = (part("r=")?, part("s=")?, part("i=")?);
        let salted = salted(
            password.as_bytes(),
            &BASE64.decode(salt.as_bytes()).ok()?,
            rounds.parse().ok()?,
        );
        let client_key = hmac(&salted, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let last = format!("c=biws,r={nonce}");
        let signature =
            hmac(&stored_key, &[format!("{},{challenge},{last}", self.bare).as_bytes()]);
        let proof: Vec<_> =
            client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        Some(format!("{last},p={}", BASE64.encode(&proof)))
    }
}

/// PBKDF2 of one block.
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Hash {
    let mut last = hmac(password, &[salt, &[0, 0, 0, 1]]);
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac(password, &[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// HMAC with keys of at most one block, which all keys here are.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        Sha256::new_with_prefix(block)
    };
    let inner = parts.iter().fold(padded(0x36), Digest::chain_update).finalize();
    padded(0x5c).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let scram = Scram { bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned() };
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(scram.proof(challenge, "pencil").as_deref(), Some(expected));
    }
}
