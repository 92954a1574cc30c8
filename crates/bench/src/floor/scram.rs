//! The client side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// A login, which consists of two messages.
pub(super) struct Scram {
    client_first_bare: String,
}

impl Scram {
    pub(super) fn start(nonce: &str) -> Self {
        Self { client_first_bare: format!("n=,r={nonce}") }
    }

    /// Returns the client-first-message.
    pub(super) fn client_first(&self) -> String {
        format!("n,,{}", self.client_first_bare)
    }

    /// Returns the client-final-message with the proof; `None` if the server-first-message is invalid.
    pub(super) fn client_final(&self, server_first: &str, password: &str) -> Option<String> {
        let attribute =
            |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name));
        let (nonce, salt, rounds) = (attribute("r=")?, attribute("s=")?, attribute("i=")?);
        let salted_password = salted(
            password.as_bytes(),
            &BASE64.decode(salt.as_bytes()).ok()?,
            rounds.parse().ok()?,
        );
        let client_key = hmac(&salted_password, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let without_proof = format!("c=biws,r={nonce}");
        let signature = hmac(
            &stored_key,
            &[format!("{},{server_first},{without_proof}", self.client_first_bare).as_bytes()],
        );
        let proof: Vec<_> =
            client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        Some(format!("{without_proof},p={}", BASE64.encode(&proof)))
    }
}

/// PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Hash {
    let mut last = hmac(password, &[salt, &[0, 0, 0, 1]]);
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac(password, &[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// HMAC with keys of at most one block, which is enough for the keys here.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let hash_of_padded_key = |padding: u8| {
        let mut block = [padding; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        Sha256::new_with_prefix(block)
    };
    let inner = parts.iter().fold(hash_of_padded_key(0x36), Digest::chain_update).finalize();
    hash_of_padded_key(0x5c).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_final_message_is_that_of_the_rfc() {
        let scram = Scram { client_first_bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned() };
        let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(scram.client_final(server_first, "pencil").as_deref(), Some(expected));
    }
}
