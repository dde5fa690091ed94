//! Cryptographic randomness, from the system.

/// 128 bits in hexadecimal, for names that are also keys.
pub fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
